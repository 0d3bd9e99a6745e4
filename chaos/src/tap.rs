//! Stands between a device and its connection, and writes into the journal what both say on the
//! wire: which messages a device acknowledges, and which the server claims to be delivered.
//!
//! So `delivered` is checked where it is said, before any client makes something of it: the
//! acknowledgement is in the journal before it leaves the device, the claim after it came.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _};
use hushwire_client::transport::{
    Arrival, Call, Download, LINK_FRAMES, Link, Reply, Transport, Unreachable,
};
use hushwire_client::{DeviceId, Encoding, NetTransport};
use hushwire_wire::Mid;
use hushwire_wire::frame::{Ack, ClientOp, News, ServerOp};
use hushwire_wire::message::{Delivered, Upload};
use tokio::sync::mpsc;

use crate::journal::{Device, Fact, Journal};

/// Messages of one connection that are not acknowledged yet, at most; a server's window is far
/// smaller, and past it the oldest is forgotten, which shows as a false `delivered`.
const UNACKED_MAX: usize = 4_096;

/// A transport that tells the journal. The device's id is known once it has registered.
#[derive(Debug)]
pub struct Tap {
    net: NetTransport,
    journal: Arc<Journal>,
    device: Option<(Device, DeviceId)>,
}

impl Tap {
    /// Around `net`, for this device.
    #[must_use]
    pub const fn new(
        net: NetTransport,
        journal: Arc<Journal>,
        device: Option<(Device, DeviceId)>,
    ) -> Self {
        Self { net, journal, device }
    }
}

impl Transport for Tap {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Reply, Unreachable>> {
        self.net.call(call)
    }

    fn download(&self, call: Call) -> BoxFuture<'static, Result<Download, Unreachable>> {
        self.net.download(call)
    }

    fn open(&self, encoding: Encoding) -> BoxFuture<'static, Result<Link, Unreachable>> {
        let opening = self.net.open(encoding);
        let Some((me, device)) = self.device else { return opening };
        let journal = Arc::clone(&self.journal);
        async move {
            let inner = opening.await?;
            let (out, outgoing) = mpsc::channel(LINK_FRAMES);
            let (incoming, arrivals) = mpsc::channel(LINK_FRAMES);
            let ear = Ear::new(encoding, journal, me, device);
            tokio::spawn(listen(ear, inner, outgoing, incoming));
            Ok(Link { out, arrivals })
        }
        .boxed()
    }
}

async fn listen(
    mut ear: Ear,
    inner: Link,
    mut outgoing: mpsc::Receiver<Vec<u8>>,
    incoming: mpsc::Sender<Arrival>,
) {
    let Link { out, mut arrivals } = inner;
    let mut out = Some(out);
    loop {
        tokio::select! {
            frame = outgoing.recv(), if out.is_some() => {
                let Some(frame) = frame else {
                    // The device has let go: so does this, and hears the end.
                    out = None;
                    continue;
                };
                ear.said(&frame);
                if let Some(to) = &out && to.send(frame).await.is_err() {
                    out = None;
                }
            }
            arrival = arrivals.recv() => {
                let Some(arrival) = arrival else { return };
                if let Arrival::Frame(frame) = &arrival {
                    ear.heard(frame);
                }
                if incoming.send(arrival).await.is_err() {
                    return;
                }
            }
        }
    }
}

struct Ear {
    encoding: Encoding,
    journal: Arc<Journal>,
    me: Device,
    device: DeviceId,
    /// By their numbers on this connection.
    unacked: BTreeMap<u64, Mid>,
    /// Sends that are not answered yet, by the ids of their frames.
    asked: BTreeMap<u64, Mid>,
}

impl Ear {
    const fn new(encoding: Encoding, journal: Arc<Journal>, me: Device, device: DeviceId) -> Self {
        Self { encoding, journal, me, device, unacked: BTreeMap::new(), asked: BTreeMap::new() }
    }

    fn said(&mut self, frame: &[u8]) {
        let Ok(frame) = self.encoding.decode_client(frame) else { return };
        match frame.op {
            ClientOp::Ack(ack) => self.acked(&ack),
            ClientOp::Send(send) => {
                let Ok(upload) = Upload::parse(&send.upload) else { return };
                let mid = upload.header.mid;
                self.asked.insert(frame.id.unwrap_or(0), mid);
                if self.asked.len() > UNACKED_MAX {
                    self.asked.pop_first();
                }
                self.journal.add(Fact::Sent(self.me, mid.0, send.sn, send.re.is_some()));
            }
            ClientOp::Resynced(said) => self.journal.add(Fact::Restored(self.me, said.r#gen.0)),
            _ => {}
        }
    }

    fn acked(&mut self, ack: &Ack) {
        let later = self.unacked.split_off(&ack.n.saturating_add(1));
        for (n, mid) in std::mem::replace(&mut self.unacked, later) {
            if !ack.failed.iter().any(|failed| failed.n == n) {
                self.journal.add(Fact::Acked(self.device.0, mid.0));
            }
        }
    }

    fn heard(&mut self, frame: &[u8]) {
        let Ok(frame) = self.encoding.decode_server(frame) else { return };
        match frame.op {
            ServerOp::Message(message) => {
                let Ok(parsed) = Delivered::parse(message.msg.as_bytes()) else { return };
                self.unacked.insert(message.n, parsed.header.mid);
                if self.unacked.len() > UNACKED_MAX {
                    self.unacked.pop_first();
                }
            }
            ServerOp::Notice(notice) => {
                if let News::Delivered { mid, device } = notice.what {
                    self.journal.add(Fact::Claimed(device.0, mid.0));
                }
            }
            ServerOp::Welcome(welcome) => {
                self.journal.add(Fact::Welcomed(self.me, welcome.r#gen.0));
            }
            ServerOp::Resync(resync) => self.journal.add(Fact::Lost(self.me, resync.r#gen.0)),
            ServerOp::Reject(reject) => {
                if let Some(mid) = frame.id.and_then(|id| self.asked.remove(&id)) {
                    self.journal.add(Fact::Refused(self.me, mid.0, reject.name()));
                }
            }
            ServerOp::Accepted(accepted) => {
                if let Some(mid) = frame.id.and_then(|id| self.asked.remove(&id)) {
                    self.journal.add(Fact::Took(self.me, mid.0));
                }
                for device in accepted.delivered {
                    self.journal.add(Fact::Claimed(device.0, accepted.mid.0));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use hushwire_wire::frame::{Accepted, Ack, ClientFrame, Failed, Message, Notice, ServerFrame};
    use hushwire_wire::message::{Class, Header};
    use hushwire_wire::{EpochId, Sealed, UserId};

    use super::*;

    const ENCODING: Encoding = Encoding::Cbor;
    const ME: DeviceId = DeviceId([7; 16]);

    fn ear() -> Ear {
        Ear::new(ENCODING, Arc::default(), 7, ME)
    }

    fn hear(ear: &mut Ear, op: ServerOp) {
        ear.heard(&ENCODING.encode_server(&ServerFrame { id: None, op }));
    }

    fn message(n: u64, mid: u8) -> ServerOp {
        let (class, epoch, mid) = (Class::Text, EpochId([1; 32]), Mid([mid; 16]));
        let header = Header { class, sender: 0, lane: 0, counter: 0, epoch, mid };
        let mut msg = [&header.to_bytes()[..], &[0; 32], &272_u32.to_be_bytes()].concat();
        msg.extend_from_slice(&[0; 272 + 16]);
        let user = UserId([2; 32]);
        ServerOp::Message(Message {
            n,
            at: 0,
            peer: user,
            from_user: user,
            from_device: DeviceId([2; 16]),
            msg: Sealed::new(msg),
        })
    }

    fn ack(ear: &mut Ear, n: u64, failed: Vec<Failed>) {
        let op = ClientOp::Ack(Ack { n, failed });
        ear.said(&ENCODING.encode_client(&ClientFrame { id: None, op }));
    }

    fn facts(ear: &Ear) -> Vec<Fact> {
        ear.journal.facts().into_iter().map(|entry| entry.fact).collect()
    }

    #[test]
    fn acknowledged_is_what_an_ack_covers_but_what_failed() {
        let mut ear = ear();
        for n in 1..=4 {
            hear(&mut ear, message(n, n.to_le_bytes()[0]));
        }
        assert_eq!(facts(&ear), []);
        ack(&mut ear, 3, vec![Failed { n: 2, code: "BAD_TAG".to_owned() }]);
        let acked = |mid| Fact::Acked(ME.0, [mid; 16]);
        assert_eq!(facts(&ear), [acked(1), acked(3)]);
        ack(&mut ear, 3, Vec::new());
        ack(&mut ear, 4, Vec::new());
        assert_eq!(facts(&ear), [acked(1), acked(3), acked(4)]);
    }

    #[test]
    fn claims_are_written_from_notices_and_answers() {
        let mut ear = ear();
        let (mid, device) = (Mid([5; 16]), DeviceId([3; 16]));
        hear(&mut ear, ServerOp::Notice(Notice { n: 1, what: News::Delivered { mid, device } }));
        let accepted = Accepted { sn: 1, mid, delivered: vec![device], skipped: Vec::new() };
        hear(&mut ear, ServerOp::Accepted(accepted));
        let claimed = Fact::Claimed(device.0, mid.0);
        assert_eq!(facts(&ear), [claimed, claimed]);
        ear.heard(b"garbage");
        ear.said(b"garbage");
        assert_eq!(facts(&ear).len(), 2);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut ear = ear();
        for n in 1..=UNACKED_MAX as u64 + 10 {
            hear(&mut ear, message(n, 1));
        }
        assert_eq!(ear.unacked.len(), UNACKED_MAX);
    }
}
