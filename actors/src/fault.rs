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
        assert!(!breaks, "broken on purpose at {name}");
    }

    /// Forgets what was reached, and arms a point: it breaks when it is reached for the `nth`
    /// time, once.
    pub(crate) fn arm(armed: Option<(&'static str, u32)>) {
        POINTS.with_borrow_mut(|points| *points = Points { armed, ..Points::default() });
    }

    /// Arms a point that breaks each time, until another one or none does.
    pub(crate) fn always(point: Option<&'static str>) {
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
