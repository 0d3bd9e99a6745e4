//! One device that many others write to, each one message after the other.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::try_join_all;
use hushwire_e2ee::EpochState;
use hushwire_wire::Encoding;
use hushwire_wire::frame::{Accepted, Ack, ClientFrame, ClientOp, Message, Send, ServerOp};

use crate::line::{Line, name};
use crate::person::{Api, Person, seal_text};

/// Messages of the recipient between two acknowledgements.
const ACK_EVERY: usize = 16;

/// The recipient and its senders.
pub(crate) struct Hub {
    pub(crate) to: Arc<Person>,
    pub(crate) spokes: Vec<Spoke>,
}

/// One sender.
pub(crate) struct Spoke {
    from: Arc<Person>,
    keys: EpochState,
    sn: u64,
}

/// A sender that is signed in, with what it will send.
pub(crate) struct Sender {
    from: Arc<Person>,
    line: Line,
    frames: std::vec::IntoIter<(Vec<u8>, usize)>,
    /// Mids and sizes of what was accepted, in order.
    pub(crate) accepted: Vec<(hushwire_wire::Mid, usize)>,
}

impl Hub {
    /// Makes contacts of the first of `people` and all others.
    pub(crate) async fn make(
        api: &Api,
        people: &[Arc<Person>],
        now_ms: u64,
    ) -> Result<Self, String> {
        let (to, others) = people.split_first().ok_or("nobody")?;
        let mut spokes = Vec::new();
        for from in others {
            let keys = api.befriend(to, from, now_ms).await?;
            spokes.push(Spoke { from: from.clone(), keys, sn: 0 });
        }
        Ok(Self { to: to.clone(), spokes })
    }

    /// Signs all senders in, each with `messages` sealed beforehand.
    pub(crate) async fn senders(
        &mut self,
        address: SocketAddr,
        messages: usize,
        now_ms: u64,
    ) -> Result<Vec<Sender>, String> {
        let mut senders = Vec::new();
        for spoke in &mut self.spokes {
            let mut line = Line::open(address).await?;
            line.sign_in(&spoke.from).await?;
            let mut frames = Vec::new();
            for _ in 0..messages {
                spoke.sn += 1;
                let upload = seal_text(&mut spoke.keys, now_ms)?;
                let (size, to) = (upload.len(), self.to.user());
                let send = Send {
                    to,
                    sn: spoke.sn,
                    upload: upload.into(),
                    withdraw: Vec::new(),
                    re: None,
                };
                let frame = ClientFrame { id: Some(spoke.sn), op: ClientOp::Send(send) };
                frames.push((Encoding::Cbor.encode_client(&frame), size));
            }
            senders.push(Sender {
                from: spoke.from.clone(),
                line,
                frames: frames.into_iter(),
                accepted: Vec::new(),
            });
        }
        Ok(senders)
    }
}

impl Sender {
    /// Sends the next message, and waits until it is accepted. Whether there was one.
    pub(crate) async fn send(&mut self) -> Result<bool, String> {
        let Some((frame, size)) = self.frames.next() else { return Ok(false) };
        self.line.send_encoded(frame).await?;
        loop {
            match self.line.next().await?.op {
                ServerOp::Accepted(Accepted { mid, skipped, .. }) if skipped.is_empty() => {
                    self.accepted.push((mid, size));
                    return Ok(true);
                }
                ServerOp::Event(_) | ServerOp::Notice(_) => {}
                other => return Err(format!("a sender got {}", name(&other))),
            }
        }
    }
}

/// All senders send everything they have, each one message after the other.
pub(crate) async fn send_all(senders: &mut [Sender]) -> Result<(), String> {
    let all = senders.iter_mut().map(|sender| async {
        while sender.send().await? {}
        Ok::<_, String>(())
    });
    try_join_all(all).await.map(drop)
}

/// Reads and acknowledges until everything that was accepted has come: each message once, those
/// of a sender in their order.
pub(crate) async fn drain(line: &mut Line, senders: &[Sender]) -> Result<(), String> {
    let mut at = vec![0; senders.len()];
    let mut left: usize = senders.iter().map(|sender| sender.accepted.len()).sum();
    let mut unacked = 0;
    while left > 0 {
        let Message { n, from_user, msg, .. } = match line.next().await?.op {
            ServerOp::Message(message) => message,
            ServerOp::Event(_) | ServerOp::Notice(_) => continue,
            other => return Err(format!("the recipient got {}", name(&other))),
        };
        let header = hushwire_wire::message::Delivered::parse(msg.as_bytes())
            .map_err(|error| error.to_string())?
            .header;
        let k = senders.iter().position(|sender| sender.from.user() == from_user);
        let k = k.ok_or("a message of a stranger")?;
        let due = senders.get(k).and_then(|sender| sender.accepted.get(*at.get(k)?));
        if due.is_none_or(|(mid, _)| *mid != header.mid) {
            return Err("a message came twice, too early or was lost".to_owned());
        }
        if let Some(at) = at.get_mut(k) {
            *at += 1;
        }
        left -= 1;
        unacked += 1;
        if unacked == ACK_EVERY || left == 0 {
            unacked = 0;
            let ack = ClientOp::Ack(Ack { n, failed: Vec::new() });
            line.send(&ClientFrame { id: None, op: ack }).await?;
        }
    }
    Ok(())
}

/// Bytes of all that was accepted, as uploaded.
pub(crate) fn bytes(senders: &[Sender]) -> u64 {
    let sizes = senders.iter().flat_map(|sender| &sender.accepted).map(|(_, size)| *size as u64);
    sizes.sum()
}
