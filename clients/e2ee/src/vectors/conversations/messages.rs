//! Messages: made, delivered and judged.

use hushwire_identity::aead;
use hushwire_wire::message::{Delivered, Header, Upload};
use hushwire_wire::{EpochId, Mid, UserId};

use super::step::{Pair, Receive, Send, Tag};
use super::world::{Device, Sent, World};
use crate::content::{Body, Content, Received};
use crate::message::{OpenError, Opened};
use crate::seal;
use crate::state::EpochState;
use crate::vectors::file::Fault;

impl World {
    /// Seals a message in the epoch that the device sends in.
    pub(super) fn send(&mut self, send: &Send) -> Result<Send, Fault> {
        let said = send.content.made()?;
        let content = said.content()?;
        let (class, lane) = said.class_and_lane()?;
        let made = self.made(&send.epoch)?;
        let (id, pair) = (made.id, made.pair.clone());
        let device = self.device(&send.device)?;
        let current = device.current(&pair).ok_or("the device holds no epoch")?;
        if current.state.id() != id || current.stale {
            return Err("it is not the epoch to send in".to_owned());
        }
        let state = &current.state;
        let before = device.before(&pair, state.header().prev);
        let sent = before.map_or(0, |before| before.state.sent());
        if content.prev_sent != sent {
            return Err(format!("prev_sent is {}, ours is {sent}", content.prev_sent));
        }
        if !content.seen.is_empty() && content.seen != state.seen() {
            return Err(format!("seen is {:?}, ours is {:?}", content.seen, state.seen()));
        }
        let (chain, counter) = state.sending(lane).ok_or("the chain is at its end")?;
        let mid = Mid(seal::salt(chain, &send.rnd16.0, &said.padded.0));
        let header = Header { class, sender: state.me(), lane, counter, epoch: id, mid };
        let header = header.to_bytes();
        let sk = seal::skipped_key(chain);
        let mk = seal::message_key(&sk, &header);
        let commit = seal::commitment(&mk, &header);
        let ct = aead::seal(state.suite(), seal::content_key(&mk).get(), &said.padded.0);
        let env = seal::envelope(&header, &commit, &ct);
        let mut tags = Vec::new();
        for (to, key) in state.targets().iter().zip(state.sending_tags()) {
            tags.push(Tag { device: self.name_of(to)?, tag: seal::tag(key, &env).into() });
        }
        let sent =
            Sent { upload: Vec::new(), targets: state.targets(), padded: said.padded.0.clone() };
        let fits = content.body.class_and_lane() == (class, lane)
            && content.body.fits_pair(state.header().b.is_none());
        let device = self.device_mut(&send.device)?;
        device.learn(device.user_id()?, &content);
        let state = device.state_mut(&id).ok_or("the epoch is not held")?;
        let sealed = if fits {
            state.seal(class, lane, &content, send.rnd16.0)
        } else {
            state.seal_padded(class, lane, &said.padded.0, send.rnd16.0)
        };
        let sealed = sealed.map_err(|error| error.to_string())?;
        if (sealed.counter, sealed.mid) != (counter, mid) {
            return Err("the message was sealed otherwise than computed".to_owned());
        }
        let sent = Sent { upload: sealed.upload.clone(), ..sent };
        if self.messages.insert(send.message.clone(), sent).is_some() {
            return Err("the label stands twice".to_owned());
        }
        Ok(Send {
            content: said,
            counter,
            header: header.into(),
            sk: (*sk.get()).into(),
            mk: (*mk.get()).into(),
            commit: commit.into(),
            ct: ct.into(),
            env: env.into(),
            tags,
            upload: sealed.upload.into(),
            ..send.clone()
        })
    }

    /// Delivers a message to a device and gives what it says.
    pub(super) fn receive(&mut self, receive: &Receive) -> Result<Receive, Fault> {
        let (bytes, padded) = match (&receive.message, &receive.bytes) {
            (Some(label), None) => {
                let sent = self.messages.get(label).ok_or_else(|| format!("no message {label}"))?;
                let id = self.device(&receive.device)?.key.device_id();
                let place = sent.targets.iter().position(|to| *to == id);
                let place = place.ok_or("the message is not for this device")?;
                (delivered(&sent.upload, place)?, Some(sent.padded.clone()))
            }
            (None, Some(bytes)) => (bytes.0.clone(), None),
            _ => return Err("either a message or bytes".to_owned()),
        };
        let time = self.time;
        let device = self.device_mut(&receive.device)?;
        let expect = match device.open(&bytes, time)? {
            Err(code) => code,
            Ok((opened, self_pair)) => {
                if let (Some(padded), Received::Content(content)) = (padded, &opened.content)
                    && content.lay_out().map_err(|error| error.to_string())?.to_vec() != padded
                {
                    return Err("another content came out than went in".to_owned());
                }
                device.judge(&opened, self_pair)
            }
        };
        Ok(Receive { expect: expect.to_owned(), ..receive.clone() })
    }
}

/// What the server hands to the device of this tag.
fn delivered(upload: &[u8], place: usize) -> Result<Vec<u8>, Fault> {
    let upload = Upload::parse(&upload.to_vec().into()).map_err(|error| error.to_string())?;
    let tag = upload.tag(place).ok_or("no such tag")?;
    Ok([upload.shared.as_bytes(), &tag].concat())
}

impl Device {
    fn user_id(&self) -> Result<UserId, Fault> {
        let log = self.logs.get(&self.user).ok_or("the device does not know its own log")?;
        Ok(log.user())
    }

    /// Opens a message with the state of its epoch; a refused one changes nothing.
    fn open(
        &mut self,
        bytes: &[u8],
        time: u64,
    ) -> Result<Result<(Opened, bool), &'static str>, Fault> {
        let Ok(message) = Delivered::parse(bytes) else { return Ok(Err("MALFORMED")) };
        let id = message.header.epoch;
        let Some(pair) = self.pair_of(&id) else { return Ok(Err("EPOCH_UNKNOWN")) };
        let held = self.held.get_mut(&pair).ok_or("the epoch is not held")?;
        let at = held.iter().position(|held| held.state.id() == id).ok_or("it is not held")?;
        let mut state = held[at].state.clone();
        let mut others: Vec<_> = held.iter().map(|held| held.state.clone()).collect();
        others.remove(at);
        let before = (state.to_bytes(), others.clone());
        let opened = state.open_beside(bytes, time, &mut others);
        if opened.is_err() && (state.to_bytes(), others.clone()) != before {
            return Err("a refused message changed a state".to_owned());
        }
        let self_pair = state.header().b.is_none();
        others.insert(at, state);
        for (held, state) in held.iter_mut().zip(others) {
            held.state = state;
        }
        Ok(match opened {
            Ok(opened) => Ok((opened, self_pair)),
            Err(OpenError::Layout(_)) => Err("MALFORMED"),
            Err(error) => Err(error.code().as_str()),
        })
    }

    fn pair_of(&self, id: &EpochId) -> Option<Pair> {
        let is = |state: &EpochState| state.id() == *id;
        let mut pairs = self.held.iter();
        pairs
            .find(|(_, held)| held.iter().any(|held| is(&held.state)))
            .map(|(pair, _)| pair.clone())
    }

    /// What a client does with an authentic message: show it, or not.
    fn judge(&mut self, opened: &Opened, self_pair: bool) -> &'static str {
        let Received::Content(content) = &opened.content else { return "drop" };
        if !content.body.fits_pair(self_pair) {
            return "drop";
        }
        if let Body::Edit { target, .. } | Body::Remove { target } = &content.body {
            let mine = self.contents.contains(&(opened.user, *target));
            if !mine && self.contents.iter().any(|(_, id)| id == target) {
                return "drop";
            }
        }
        if self.contents.contains(&(opened.user, content.id)) {
            return "duplicate";
        }
        self.learn(opened.user, content);
        "ok"
    }

    /// Remembers whose content it is, and whose the parts of a batch are.
    fn learn(&mut self, author: UserId, content: &Content) {
        self.contents.insert((author, content.id));
        if let Body::Batch(items) = &content.body {
            self.contents.extend(items.iter().map(|item| (author, item.id)));
        }
    }
}
