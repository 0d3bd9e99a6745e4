//! From a call to a function of the library and back.

use std::collections::HashMap;

use bb8_redis::redis::{Cmd, RedisResult, Value, cmd, pipe};
use hushwire_actors::ports::Unavailable;
use hushwire_actors::queue::{Call, DeviceReply, Key, Op, Outcome, Page, Reply, Settled, Taken};
use hushwire_wire::frame::News;
use hushwire_wire::{DeviceId, Gen, NodeId};

use super::{Inner, Refused, Run};
use crate::codec;
use crate::link::Link;
use crate::state::Room;
use crate::value::{array, bytes, number};

/// A function of the library, ready to be called.
#[derive(Debug)]
pub(super) struct Function {
    command: Cmd,
    /// Whether it writes: what changed has to be copied before it counts.
    writes: bool,
    /// Where it goes: functions of one device go the same way.
    pub(super) spread: usize,
}

/// What a function returned.
#[derive(Clone, Debug)]
pub(super) struct Returned {
    /// The store's generation, if it is another one than was believed in.
    pub(super) r#gen: Option<Gen>,
    pub(super) holder: Option<Key>,
    pub(super) displaced: Option<Key>,
    pub(super) tail: u64,
    pub(super) notices_tail: u64,
    pub(super) outcome: Outcome,
    /// To `expire`: what is due, and messages, bytes and notices that the ledger holds.
    pub(super) due: Vec<Settled>,
    pub(super) sums: [u64; 3],
}

impl Inner {
    /// A function on a device's ledger, to which arguments are added.
    pub(super) fn on(&self, r#gen: Gen, device: &DeviceId, name: &str) -> Function {
        let mut command = cmd("FCALL");
        command.arg(format!("hushwire1_{name}")).arg(2).arg(self.link.generation_key());
        command.arg(self.link.key(&device.0, "meta"));
        command.arg(&r#gen.0).arg(self.link.state().said_now()).arg(&self.bounds);
        let writes = name != "look";
        Function { command, writes, spread: usize::from(device.0[0]) }
    }

    pub(super) fn function(&self, r#gen: Gen, device: &DeviceId, op: &Op) -> Function {
        let mut function = self.on(r#gen, device, name(op));
        let command = &mut function.command;
        match op {
            Op::Attach { node, conn } | Op::Touch { node, conn } => {
                command.arg(&node.0).arg(&conn.0);
            }
            Op::Enqueue { entries, dead } => {
                let room = self.link.state().facts().room;
                command.arg(dead.map_or(Vec::new(), |conn| conn.0.to_vec()));
                command.arg(u8::from(room != Room::Ample));
                add(command, entries.iter().map(codec::message));
            }
            Op::Force { entries } => {
                add(command, entries.iter().map(codec::message));
            }
            Op::Back { conn, entries } | Op::Detach { conn, entries } => {
                command.arg(&conn.0);
                add(command, entries.iter().map(codec::message));
            }
            Op::Page { conn, after, notices_after, skip, messages, bytes } => {
                command.arg(&conn.0).arg(*after).arg(*notices_after).arg(*messages).arg(*bytes);
                add(command, skip.iter().map(|(from, mid)| codec::id(from, mid)));
            }
            Op::Flip { conn, last, notices_last } => {
                command.arg(&conn.0).arg(*last).arg(*notices_last);
            }
            Op::Ack { settled, notices } => {
                command.arg(*notices);
                add(command, settled.iter().map(|one| codec::id(&one.from, &one.mid)));
            }
            Op::Notice { news } => {
                command.arg(codec::news(news));
            }
            Op::Revoke => {}
            Op::DropFrom { sender } => {
                command.arg(&sender.0);
            }
        }
        function
    }

    /// Stores what the senders of settled messages must hear, for each `Ack` by its number: the
    /// devices that have new notices, and the nodes that hold them.
    pub(super) async fn tell_senders(
        &self,
        calls: &[Call],
    ) -> HashMap<usize, Result<Vec<(DeviceId, NodeId)>, Unavailable>> {
        let mut acks = Vec::new();
        for (k, call) in calls.iter().enumerate() {
            if let Call::Device { r#gen, op: Op::Ack { settled, .. }, .. } = call {
                acks.push((k, *r#gen, settled.as_slice()));
            }
        }
        self.tell(acks).await
    }

    pub(super) async fn tell(
        &self,
        acks: Vec<(usize, Gen, &[Settled])>,
    ) -> HashMap<usize, Result<Vec<(DeviceId, NodeId)>, Unavailable>> {
        let (mut functions, mut whose) = (Vec::new(), Vec::new());
        for (k, r#gen, settled) in acks {
            for one in settled {
                let Some(news) = &one.news else { continue };
                functions.push((functions.len(), self.notice(r#gen, &one.from, news)));
                whose.push((k, one.from));
            }
        }
        let mut told: HashMap<usize, Result<Vec<_>, Unavailable>> = HashMap::new();
        let mut runs = self.run_all(functions).await;
        for (at, (k, from)) in whose.into_iter().enumerate() {
            let of_call = told.entry(k).or_insert_with(|| Ok(Vec::new()));
            match runs.remove(&at) {
                Some(Ok(returned)) if returned.outcome != Outcome::OtherGen => {
                    if let (Ok(devices), Some(key)) = (of_call, returned.holder)
                        && devices.last() != Some(&(from, key.node))
                    {
                        devices.push((from, key.node));
                    }
                }
                _ => *of_call = Err(Unavailable),
            }
        }
        told
    }

    fn notice(&self, r#gen: Gen, device: &DeviceId, news: &News) -> Function {
        self.function(r#gen, device, &Op::Notice { news: news.clone() })
    }

    /// Tells what has waited too long for a device at `now_ms`.
    pub(super) fn expire(
        &self,
        r#gen: Gen,
        device: &DeviceId,
        most: usize,
        now_ms: u64,
    ) -> Function {
        let mut function = self.on(r#gen, device, "expire");
        function.command.arg(most).arg(now_ms);
        function
    }
}

/// Whether a call brings messages into the store.
pub(super) const fn holds_messages(op: &Op) -> bool {
    matches!(op, Op::Enqueue { .. } | Op::Force { .. } | Op::Back { .. } | Op::Detach { .. })
}

fn add(command: &mut Cmd, arguments: impl Iterator<Item = Vec<u8>>) {
    for argument in arguments {
        command.arg(argument);
    }
}

const fn name(op: &Op) -> &'static str {
    match op {
        Op::Attach { .. } => "attach",
        Op::Enqueue { .. } => "enqueue",
        Op::Force { .. } => "force",
        Op::Back { .. } => "back",
        Op::Detach { .. } => "detach",
        Op::Page { .. } => "page",
        Op::Flip { .. } => "flip",
        Op::Ack { .. } => "ack",
        Op::Notice { .. } => "notice",
        Op::Touch { .. } => "touch",
        Op::Revoke => "revoke",
        Op::DropFrom { .. } => "drop_from",
    }
}

/// Runs functions in order on one connection, and waits until enough replicas have what they wrote.
pub(super) async fn run(link: &Link, functions: Vec<Function>) -> Result<Vec<Run>, Unavailable> {
    let mut connection = link.connection().await?;
    let writes = functions.iter().any(|function| function.writes);
    let mut pipeline = pipe();
    pipeline.ignore_errors();
    for function in functions {
        pipeline.add_command(function.command);
    }
    let replies: RedisResult<Vec<RedisResult<Value>>> =
        pipeline.query_async(&mut **connection).await;
    let replies = replies.map_err(|error| link.failed(&mut connection, &error))?;
    if writes {
        link.copied(&mut connection).await?;
    }
    let judge = |reply: RedisResult<Value>| match reply {
        Ok(value) => parse(value).ok_or(Refused::Unavailable),
        Err(error) if error.code() == Some("OOM") => Err(Refused::NoMemory),
        Err(error) => {
            // A replica by now, or without the library: another connection finds the primary, and
            // loads it.
            link.failed(&mut connection, &error);
            Err(Refused::Unavailable)
        }
    };
    Ok(replies.into_iter().map(judge).collect())
}

/// Without memory for messages nothing was written: each is told that there is no room, but those
/// that must go somewhere stay where they are.
pub(super) fn no_memory(r#gen: Gen, op: &Op) -> Result<Reply, Unavailable> {
    let Op::Enqueue { entries, .. } = op else { return Err(Unavailable) };
    Ok(Reply::Device(DeviceReply {
        r#gen,
        holder: None,
        displaced: None,
        tail: 0,
        notices_tail: 0,
        outcome: Outcome::Written(vec![Taken::NoRoom; entries.len()]),
    }))
}

/// A reply of the library; `None` for one that this version does not know.
fn parse(value: Value) -> Option<Returned> {
    let Value::Array(values) = value else { return None };
    let mut values = values.into_iter();
    let word = bytes(values.next()?)?;
    if word == b"other gen" {
        let r#gen = Gen::from_slice(&bytes(values.next()?)?)?;
        return Some(Returned {
            r#gen: Some(r#gen),
            holder: None,
            displaced: None,
            tail: 0,
            notices_tail: 0,
            outcome: Outcome::OtherGen,
            due: Vec::new(),
            sums: [0; 3],
        });
    }
    let holder = codec::holder(&bytes(values.next()?)?)?;
    let displaced = codec::holder(&bytes(values.next()?)?)?;
    let (tail, notices_tail) = (number(values.next()?)?, number(values.next()?)?);
    let (mut due, mut sums) = (Vec::new(), [0; 3]);
    let outcome = match word.as_slice() {
        b"attached" => Outcome::Attached,
        b"revoked" => Outcome::Revoked,
        b"dropped" => Outcome::Dropped,
        b"not holder" => Outcome::NotHolder,
        b"noticed" | b"looked" => Outcome::Noticed(Vec::new()),
        b"held" => Outcome::Held(holder?),
        b"flipped" => Outcome::Flipped(number(values.next()?)? == 1),
        b"written" => Outcome::Written(codec::taken(&bytes(values.next()?)?)?),
        b"page" => Outcome::Page(page(&mut values)?),
        b"expired" => {
            due = array(values.next()?)?
                .into_iter()
                .map(|id| {
                    let (from, mid) = codec::parse_id(&bytes(id)?)?;
                    Some(Settled { from, mid, news: None })
                })
                .collect::<Option<_>>()?;
            for sum in &mut sums {
                *sum = number(values.next()?)?;
            }
            Outcome::Noticed(Vec::new())
        }
        _ => return None,
    };
    Some(Returned { r#gen: None, holder, displaced, tail, notices_tail, outcome, due, sums })
}

fn page(values: &mut impl Iterator<Item = Value>) -> Option<Page> {
    let entries = array(values.next()?)?;
    let entries =
        entries.into_iter().map(|one| codec::entry(&bytes(one)?)).collect::<Option<_>>()?;
    let last = number(values.next()?)?;
    let mut rows = array(values.next()?)?.into_iter();
    let mut notices = Vec::with_capacity(rows.len() / 2);
    while let (Some(position), Some(row)) = (rows.next(), rows.next()) {
        notices.push((number(position)?, codec::notice(&bytes(row)?)?));
    }
    let more = number(values.next()?)? == 1;
    Some(Page { entries, last, notices, more })
}
