//! Who is there: which users' connections show themselves to whom. With several nodes each pair is
//! kept on one of them, its home, which hears of connections wherever they live.
//!
//! A plain value: lists, ends and contacts' facts in, what connections must hear out. Two users
//! hear of each other as long as each has a connection that names the other *and* they are known
//! to be contacts. A contact is asked for only once both name each other, so a list tells its
//! author nothing about strangers, and costs the same whoever is in it. `W` is the way into a
//! connection. Nothing here is logged or kept.

pub(crate) mod actor;
pub(crate) mod shown;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use hushwire_wire::{Conn, UserId};

/// Two users, the lower id first.
pub type Pair = (UserId, UserId);

/// The pair of two users.
#[must_use]
pub fn pair(a: UserId, b: UserId) -> Pair {
    (a.min(b), a.max(b))
}

/// What a connection must hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard<W> {
    /// The way into it.
    pub way: W,
    /// The contact.
    pub user: UserId,
    /// Whether it is there.
    pub on: bool,
}

/// The lists of all connections name too many users together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The table.
#[derive(Clone, Debug)]
pub struct Presence<W> {
    shown: HashMap<UserId, Vec<Showing<W>>>,
    /// Pairs of which each side names the other: at most half as many as names.
    mutual: HashMap<Pair, Mutual>,
    /// Pairs to be looked up; each is mutual.
    due: BTreeSet<Pair>,
    /// Names in all lists.
    names: usize,
    most_names: usize,
}

#[derive(Clone, Debug)]
struct Showing<W> {
    conn: Conn,
    way: W,
    /// Sorted, each once.
    to: Box<[UserId]>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mutual {
    /// Both were told that the other is there.
    on: bool,
    /// Whether they are contacts is not known yet, or not any more.
    asked: bool,
}

impl<W: Clone> Presence<W> {
    /// An empty table whose lists name at most `most_names` users together.
    #[must_use]
    pub fn new(most_names: usize) -> Self {
        Self {
            shown: HashMap::new(),
            mutual: HashMap::new(),
            due: BTreeSet::new(),
            names: 0,
            most_names,
        }
    }

    /// A connection of `user` shows itself to `to` and nobody else from now on, and is told who of
    /// them is there.
    ///
    /// # Errors
    /// [`Full`] if the lists would name too many; then nothing changes.
    pub fn show(
        &mut self,
        user: UserId,
        conn: Conn,
        way: W,
        to: Vec<UserId>,
    ) -> Result<Vec<Heard<W>>, Full> {
        let to: BTreeSet<_> = to.into_iter().filter(|peer| *peer != user).collect();
        let to: Box<[_]> = to.into_iter().collect();
        let of_user = self.shown.get(&user);
        let before = of_user.and_then(|all| all.iter().find(|showing| showing.conn == conn));
        let before = before.map_or(0, |showing| showing.to.len());
        if self.names - before + to.len() > self.most_names {
            return Err(Full);
        }
        let dropped = self.take(user, conn);
        let here = Showing { conn, way: way.clone(), to: to.clone() };
        self.names += to.len();
        self.shown.entry(user).or_default().push(here);
        let mut heard = Vec::new();
        for peer in dropped.iter().filter(|peer| to.binary_search(peer).is_err()) {
            self.part_unless_mutual(pair(user, *peer), &mut heard);
        }
        for peer in to {
            if !self.names_one(peer, user) {
                continue;
            }
            let key = pair(user, peer);
            let mutual = self.mutual.entry(key).or_default();
            if mutual.on {
                heard.push(Heard { way: way.clone(), user: peer, on: true });
            } else {
                // Also if they were strangers when they were looked up last.
                mutual.asked = true;
                self.due.insert(key);
            }
        }
        Ok(heard)
    }

    /// A connection shows itself no more, or is gone.
    pub fn hide(&mut self, user: UserId, conn: Conn) -> Vec<Heard<W>> {
        let mut heard = Vec::new();
        for peer in self.take(user, conn) {
            self.part_unless_mutual(pair(user, peer), &mut heard);
        }
        heard
    }

    /// The next pair to be looked up.
    pub fn next_due(&mut self) -> Option<Pair> {
        self.due.pop_first()
    }

    /// A pair was looked up: whether they are contacts. An answer that is older than a change is
    /// not heard; the pair is looked up again.
    pub fn looked_up(&mut self, pair: Pair, contacts: bool) -> Vec<Heard<W>> {
        if self.due.contains(&pair) {
            return Vec::new();
        }
        let Some(mutual) = self.mutual.get_mut(&pair) else { return Vec::new() };
        mutual.asked = false;
        if mutual.on == contacts {
            return Vec::new();
        }
        mutual.on = contacts;
        self.tell(pair, contacts)
    }

    /// Something about a pair changed: it is looked up again. If `parted`, or if it is not known
    /// what they are, neither hears of the other until then.
    pub fn changed(&mut self, pair: Pair, parted: bool) -> Vec<Heard<W>> {
        let Some(mutual) = self.mutual.get_mut(&pair) else { return Vec::new() };
        mutual.asked = true;
        self.due.insert(pair);
        if parted && std::mem::take(&mut mutual.on) { self.tell(pair, false) } else { Vec::new() }
    }

    /// What was being looked up is lost: it is due again.
    pub fn restart(&mut self) {
        let asked = self.mutual.iter().filter(|(_, mutual)| mutual.asked);
        self.due.extend(asked.map(|(pair, _)| *pair));
    }

    /// Forgets everything: all connections show themselves anew, here or elsewhere.
    pub fn clear(&mut self) {
        *self = Self::new(self.most_names);
    }

    /// Names in all lists.
    #[must_use]
    pub const fn names(&self) -> usize {
        self.names
    }

    /// Takes a connection's list out.
    fn take(&mut self, user: UserId, conn: Conn) -> Box<[UserId]> {
        let Entry::Occupied(mut entry) = self.shown.entry(user) else { return Box::default() };
        let all = entry.get_mut();
        let taken = all.iter().position(|showing| showing.conn == conn);
        let taken = taken.map(|k| all.swap_remove(k).to).unwrap_or_default();
        if all.is_empty() {
            entry.remove();
        }
        self.names -= taken.len();
        taken
    }

    fn part_unless_mutual(&mut self, key: Pair, heard: &mut Vec<Heard<W>>) {
        let (a, b) = key;
        if self.names_one(a, b) && self.names_one(b, a) {
            return;
        }
        self.due.remove(&key);
        if self.mutual.remove(&key).is_some_and(|mutual| mutual.on) {
            heard.extend(self.tell(key, false));
        }
    }

    /// Whether a connection of `who` names `whom`.
    fn names_one(&self, who: UserId, whom: UserId) -> bool {
        self.shown.get(&who).is_some_and(|all| all.iter().any(|showing| showing.names(&whom)))
    }

    /// What all connections of the pair that name the other side must hear.
    fn tell(&self, (a, b): Pair, on: bool) -> Vec<Heard<W>> {
        let side = |who: UserId, whom: UserId| {
            let all = self.shown.get(&who).into_iter().flatten();
            let naming = all.filter(move |showing| showing.names(&whom));
            naming.map(move |showing| Heard { way: showing.way.clone(), user: whom, on })
        };
        side(a, b).chain(side(b, a)).collect()
    }
}

impl<W> Showing<W> {
    fn names(&self, user: &UserId) -> bool {
        self.to.binary_search(user).is_ok()
    }
}
