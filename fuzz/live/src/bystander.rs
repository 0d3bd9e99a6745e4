//! Two real devices that talk all the time while others misbehave. Each message must arrive once,
//! unchanged, and be accepted; how long the hop takes is written down.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hushwire_e2ee::{Body, Content, ContentId, Received};
use hushwire_wire::Encoding;
use hushwire_wire::frame::{Ack, ClientFrame, ClientOp, Send, ServerOp};
use hushwire_wire::message::{Class, LANE_DURABLE};
use tokio::sync::watch;

use crate::connection::Line;
use crate::world::{Pair, random};

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(5);

/// What the two saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// From the sender's write to the recipient's frame, in microseconds.
    pub(crate) hop_us: Histogram<u64>,
}

/// Talks until `over` says so.
///
/// # Errors
/// With what the two must not have seen.
pub(crate) async fn talk(
    address: SocketAddr,
    mut pair: Pair,
    now_ms: u64,
    mut over: watch::Receiver<bool>,
) -> Result<Seen, String> {
    let encodings = [Encoding::Cbor, Encoding::Json];
    let mut lines = [
        Line::open(address, encodings[0], &pair.people[0]).await?,
        Line::open(address, encodings[1], &pair.people[1]).await?,
    ];
    let mut hop_us = Histogram::new(3).map_err(|error| error.to_string())?;
    for round in 0_u64.. {
        if *over.borrow() {
            break;
        }
        let from = usize::from(round % 2 == 1);
        let to = 1 - from;
        let content = Content {
            id: ContentId(random()?),
            sent_ms: now_ms,
            prev_sent: 0,
            seen: pair.keys[from].seen(),
            body: Body::Text { reply_to: None, text: format!("round {round}") },
        };
        let sealed = pair.keys[from]
            .seal(Class::Text, LANE_DURABLE, &content, random()?)
            .map_err(|error| error.to_string())?;
        let send = Send {
            to: pair.people[to].user(),
            sn: round + 1,
            upload: sealed.upload.into(),
            withdraw: Vec::new(),
            re: None,
        };
        let frame = ClientFrame { id: Some(round), op: ClientOp::Send(send) };
        let start = Instant::now();
        lines[from].send(&encodings[from].encode_client(&frame)).await?;
        let message = loop {
            match lines[to].next().await? {
                ServerOp::Message(message) => break message,
                ServerOp::Event(_) | ServerOp::Notice(_) => {}
                other => return Err(format!("the recipient got {other:?}")),
            }
        };
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        hop_us.record(micros).map_err(|error| error.to_string())?;
        let opened = pair.keys[to]
            .open(message.msg.as_bytes(), now_ms)
            .map_err(|error| format!("message {round} does not open: {error}"))?;
        match opened.content {
            Received::Content(got) if got == content => {}
            _ => return Err(format!("message {round} is another")),
        }
        let ack = ClientOp::Ack(Ack { n: message.n, failed: Vec::new() });
        lines[to].send(&encodings[to].encode_client(&ClientFrame { id: None, op: ack })).await?;
        loop {
            match lines[from].next().await? {
                ServerOp::Accepted(accepted) if accepted.sn == round + 1 => break,
                ServerOp::Event(_) | ServerOp::Notice(_) => {}
                other => return Err(format!("the sender got {other:?}")),
            }
        }
        tokio::select! {
            _ = over.changed() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    Ok(Seen { hop_us })
}
