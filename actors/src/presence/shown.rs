//! To whom this node's connections show themselves, and who each of them was told is there: what the
//! homes of pairs are told, and told again when they move.
//!
//! A plain value. `L` is the way into a connection.

use std::collections::{BTreeMap, HashMap};

use hushwire_wire::{Conn, NodeId, UserId};

use super::{Full, pair};
use crate::homes::home;

/// What a home must hear: a connection shows itself to these of its pairs, and no others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) home: NodeId,
    pub(crate) user: UserId,
    pub(crate) conn: Conn,
    pub(crate) to: Vec<UserId>,
}

/// The lists, which name so many users together.
#[derive(Debug)]
pub(crate) struct Shown<L> {
    all: HashMap<Conn, One<L>>,
    names: usize,
    most_names: usize,
}

#[derive(Debug)]
struct One<L> {
    user: UserId,
    lane: L,
    /// Sorted, each once.
    to: Box<[UserId]>,
    /// Who is there, and whether that was said since it was told again.
    on: BTreeMap<UserId, bool>,
}

impl<L> Shown<L> {
    pub(crate) fn new(most_names: usize) -> Self {
        Self { all: HashMap::new(), names: 0, most_names }
    }

    /// A connection shows itself to `to` and nobody else, of whom it knows nothing yet.
    pub(crate) fn show(
        &mut self,
        user: UserId,
        conn: Conn,
        lane: L,
        mut to: Vec<UserId>,
        nodes: &[NodeId],
    ) -> Result<Vec<Told>, Full> {
        to.retain(|peer| *peer != user);
        to.sort_unstable();
        to.dedup();
        let before = self.all.get(&conn).map(|one| one.to.clone()).unwrap_or_default();
        if self.names - before.len() + to.len() > self.most_names {
            return Err(Full);
        }
        self.names = self.names - before.len() + to.len();
        let told = told(user, conn, &before, &to, nodes);
        self.all.insert(conn, One { user, lane, to: to.into(), on: BTreeMap::new() });
        Ok(told)
    }

    /// A connection shows itself no more.
    pub(crate) fn hide(&mut self, conn: Conn, nodes: &[NodeId]) -> Vec<Told> {
        let Some(one) = self.all.remove(&conn) else { return Vec::new() };
        self.names -= one.to.len();
        told(one.user, conn, &one.to, &[], nodes)
    }

    /// A home says who is there. The way into the connection, if that is news to it.
    pub(crate) fn hear(&mut self, conn: Conn, user: UserId, on: bool) -> Option<&L> {
        let one = self.all.get_mut(&conn).filter(|one| one.to.binary_search(&user).is_ok())?;
        let was = if on { one.on.insert(user, true) } else { one.on.remove(&user) };
        (was.is_some() != on).then_some(&one.lane)
    }

    /// Homes moved, or `only` this one forgot: what they must hear, of all connections. What they
    /// said is to be confirmed.
    pub(crate) fn again(&mut self, nodes: &[NodeId], only: Option<NodeId>) -> Vec<Told> {
        let mut all = Vec::new();
        for (conn, one) in &mut self.all {
            let user = one.user;
            for (peer, confirmed) in &mut one.on {
                let home = home(nodes, pair(user, *peer));
                *confirmed &= only.is_some() && home != only;
            }
            let told = told(user, *conn, &[], &one.to, nodes);
            all.extend(told.into_iter().filter(|told| only.is_none_or(|only| told.home == only)));
        }
        all
    }

    /// Who was not confirmed is not there.
    pub(crate) fn settle(&mut self, mut gone: impl FnMut(&L, UserId)) {
        for one in self.all.values_mut() {
            let lane = &one.lane;
            one.on.retain(|user, confirmed| {
                if !*confirmed {
                    gone(lane, *user);
                }
                *confirmed
            });
        }
    }
}

/// What each home hears that has pairs of either list.
fn told(user: UserId, conn: Conn, before: &[UserId], to: &[UserId], nodes: &[NodeId]) -> Vec<Told> {
    let mut homes: BTreeMap<NodeId, Vec<UserId>> = BTreeMap::new();
    let of = |peer: &UserId| home(nodes, pair(user, *peer));
    for home in before.iter().filter_map(of) {
        homes.entry(home).or_default();
    }
    for (peer, home) in to.iter().filter_map(|peer| Some((*peer, of(peer)?))) {
        homes.entry(home).or_default().push(peer);
    }
    homes.into_iter().map(|(home, to)| Told { home, user, conn, to }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(k: u8) -> UserId {
        UserId([k; 32])
    }

    const ME: UserId = UserId([0; 32]);
    const CONN: Conn = Conn([7; 16]);

    fn nodes(count: u8) -> Vec<NodeId> {
        (0..count).map(|k| NodeId([k * 37 + 1; 16])).collect()
    }

    fn names(told: &[Told]) -> usize {
        told.iter().map(|told| told.to.len()).sum()
    }

    #[test]
    fn each_home_hears_of_its_pairs_and_of_those_that_are_left_out() {
        let (mut shown, nodes) = (Shown::new(100), nodes(3));
        let everybody: Vec<_> = (0..60).map(user).collect();
        let told = shown.show(ME, CONN, (), everybody.clone(), &nodes).unwrap();
        assert_eq!((told.len(), names(&told)), (3, 59), "not to itself");
        for one in &told {
            assert!(one.to.iter().all(|to| home(&nodes, pair(ME, *to)) == Some(one.home)));
        }
        let told = shown.show(ME, CONN, (), vec![user(1)], &nodes).unwrap();
        assert_eq!((told.len(), names(&told)), (3, 1), "two hear that nobody is left");
        assert_eq!(shown.names, 1);
        let told = shown.hide(CONN, &nodes);
        assert_eq!((told.len(), names(&told)), (1, 0));
        assert!(shown.hide(CONN, &nodes).is_empty() && shown.names == 0);
        let many: Vec<_> = (1..=101).map(user).collect();
        assert_eq!(shown.show(ME, CONN, (), many, &nodes), Err(Full));
        assert!(shown.all.is_empty());
    }

    #[test]
    fn what_is_heard_is_told_once_and_only_of_whom_it_asked_for() {
        let (mut shown, nodes) = (Shown::new(100), nodes(2));
        shown.show(ME, CONN, (), vec![user(1), user(2)], &nodes).unwrap();
        assert!(shown.hear(CONN, user(1), true).is_some());
        assert!(shown.hear(CONN, user(1), true).is_none(), "known");
        assert!(shown.hear(CONN, user(3), true).is_none(), "a stranger");
        assert!(shown.hear(Conn([9; 16]), user(1), true).is_none(), "nobody");
        assert!(shown.hear(CONN, user(2), false).is_none(), "known");
        assert!(shown.hear(CONN, user(1), false).is_some());
    }

    #[test]
    fn who_is_not_confirmed_after_homes_moved_is_not_there() {
        let (mut shown, nodes) = (Shown::new(100), nodes(2));
        shown.show(ME, CONN, (), vec![user(1), user(2)], &nodes).unwrap();
        for peer in [1, 2] {
            assert!(shown.hear(CONN, user(peer), true).is_some());
        }
        assert_eq!(names(&shown.again(&nodes[..1], None)), 2);
        assert!(shown.hear(CONN, user(1), true).is_none(), "no news");
        let mut gone = Vec::new();
        shown.settle(|(), user| gone.push(user));
        shown.settle(|(), user| gone.push(user));
        assert_eq!(gone, [user(2)]);
    }

    #[test]
    fn what_one_home_forgot_is_told_to_it_alone_and_only_that_is_to_be_confirmed() {
        let (mut shown, nodes) = (Shown::new(100), nodes(2));
        let everybody: Vec<_> = (1..40).map(user).collect();
        shown.show(ME, CONN, (), everybody.clone(), &nodes).unwrap();
        for peer in &everybody {
            assert!(shown.hear(CONN, *peer, true).is_some());
        }
        let told = shown.again(&nodes, Some(nodes[0]));
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!(told.home, nodes[0]);
        let mut gone = Vec::new();
        shown.settle(|(), user| gone.push(user));
        assert_eq!(gone, told.to);
    }
}
