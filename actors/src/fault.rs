//! Panics on purpose: in test builds a [`point`] can be armed, anywhere else it is nothing.
//!
//! Every place where an actor could break has a point, and a scenario that breaks each of them in
//! turn. Points know nothing of what happens around them.

/// A place where an actor could panic. Compiles to nothing but in this crate's own tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn point(_: &'static str) {}

#[cfg(test)]
pub(crate) use armed::point;

#[cfg(test)]
pub(crate) mod armed {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::sync::Once;

    const ON_PURPOSE: &str = "broken on purpose";

    #[derive(Default)]
    struct Points {
        reached: BTreeMap<&'static str, u32>,
        armed: Option<(&'static str, u32)>,
        always: Option<&'static str>,
    }

    thread_local! {
        static POINTS: RefCell<Points> = RefCell::default();
    }

    /// Panics if this point is armed and was reached often enough.
    pub(crate) fn point(name: &'static str) {
        let breaks = POINTS.with_borrow_mut(|points| {
            let reached = points.reached.entry(name).or_default();
            *reached += 1;
            let now = (name, *reached);
            points.always == Some(name) || points.armed.take_if(|armed| *armed == now).is_some()
        });
        assert!(!breaks, "{ON_PURPOSE} at {name}");
    }

    /// Says nothing of what breaks on purpose: a backtrace takes longer than the story around it.
    fn be_quiet() {
        static QUIET: Once = Once::new();
        QUIET.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                let said = panic.payload().downcast_ref::<String>();
                if !said.is_some_and(|said| said.starts_with(ON_PURPOSE)) {
                    usual(panic);
                }
            }));
        });
    }

    /// Forgets what was reached, and arms a point: it breaks when it is reached for the `nth`
    /// time, once.
    pub(crate) fn arm(armed: Option<(&'static str, u32)>) {
        be_quiet();
        POINTS.with_borrow_mut(|points| *points = Points { armed, ..Points::default() });
    }

    /// Arms a point that breaks each time, until another one or none does.
    pub(crate) fn always(point: Option<&'static str>) {
        be_quiet();
        POINTS.with_borrow_mut(|points| points.always = point);
    }

    /// How often each point was reached since it was armed.
    pub(crate) fn reached() -> BTreeMap<&'static str, u32> {
        POINTS.with_borrow(|points| points.reached.clone())
    }

    /// Whether a point is armed and has not broken.
    pub(crate) fn is_armed() -> bool {
        POINTS.with_borrow(|points| points.armed.is_some())
    }
}
