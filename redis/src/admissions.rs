//! Who sent what and how often, in Redis: one function of the library a send, and one for its
//! answer.
//!
//! Nothing here is waited for on replicas: a primary that is replaced takes its generation along,
//! and what was recorded in it is believed no more.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bb8_redis::redis::{Cmd, Value, cmd, pipe};
use hushwire_actors::Limits;
use hushwire_actors::admissions::{Admissions, Admitted, Ask, Landed, Landing, Soon, Stamp};
use hushwire_actors::admit::Verdict;
use hushwire_actors::ports::Unavailable;
use hushwire_actors::rates::{Price, Rates};
use hushwire_wire::message::Class;
use hushwire_wire::{DeviceId, Gen, Mid, Reject, UserId};

use crate::codec;
use crate::link::Link;
use crate::value::{array, bytes, number};

/// Admissions that all nodes over one Redis share. Clones are the same.
#[derive(Clone, Debug)]
pub struct RedisAdmissions {
    link: Link,
    rates: Rates,
    most: usize,
    remember_ms: u64,
}

impl RedisAdmissions {
    /// Over an open link.
    #[must_use]
    pub fn new(link: Link, limits: &Limits) -> Self {
        let (most, remember_ms) = (limits.admit_records_per_user, limits.remember_ms);
        Self { link, rates: Rates::new(limits), most, remember_ms }
    }

    /// A function on what a user sent.
    fn on(&self, name: &str, r#gen: Gen, user: &UserId) -> Cmd {
        let mut command = cmd("FCALL");
        command.arg(format!("hushwire1_{name}")).arg(2).arg(self.link.generation_key());
        command.arg(self.link.key(&user.0, "sent")).arg(&r#gen.0).arg(self.link.state().said_now());
        command
    }

    fn is_reachable(&self) -> bool {
        self.link.state().facts().reachable
    }
}

impl Admissions for RedisAdmissions {
    fn admit(&self, ask: &Ask) -> Soon<Admitted> {
        if !self.is_reachable() {
            return Soon::Now(Err(Unavailable));
        }
        if ask.stamp.is_some_and(|stamp| stamp.r#gen != ask.r#gen) {
            return Soon::now(Admitted::Changed);
        }
        let Ask { r#gen, user, device, ref offer, class, stamp, allowed } = *ask;
        let Price { paced, most_ms, cost_ms } = self.rates.price(class);
        let mut command = self.on("admit", r#gen, &user);
        command.arg(self.most).arg(self.remember_ms).arg(line(&device, &offer.to));
        command.arg(&offer.sn.to_be_bytes()).arg(&offer.mid.0).arg(&offer.hash);
        command.arg(&offer.epoch.0).arg(&offer.counter.to_be_bytes()).arg(offer.size);
        command.arg(offer.re.map_or(Vec::new(), |re| re.0.to_vec()));
        command.arg(stamp.map_or(String::new(), |stamp| stamp.v.to_string()));
        command.arg(u8::from(allowed));
        command.arg(if paced { "p" } else { "c" }).arg(most_ms).arg(cost_ms);
        let (link, rates) = (self.link.clone(), self.rates);
        self.link.begin(async move {
            let mut shared = link.shared().await?;
            match command.query_async(&mut shared.connection).await {
                Ok(value) => parse(value, class, &rates).ok_or(Unavailable)?.ok_or_else(|| {
                    link.state().doubt();
                    Unavailable
                }),
                Err(error) if error.code() == Some("OOM") => {
                    Ok(Admitted::Told(Verdict::Refused(Reject::StoreFull {})))
                }
                Err(error) => Err(link.failed_shared(&shared, &error)),
            }
        })
    }

    fn landed(&self, landed: Landed) -> Soon<bool> {
        if !self.is_reachable() {
            return Soon::Now(Err(Unavailable));
        }
        let Landed { r#gen, user, device, to, landing } = landed;
        let (letter, sn, mid, answer) = match landing {
            Landing::Accepted(answer) => {
                let bytes = codec::answer(&answer);
                ("a", answer.sn, answer.mid, bytes)
            }
            Landing::Refused(sn) => ("r", sn, Mid([0; Mid::LEN]), Vec::new()),
            Landing::Neither => ("n", 0, Mid([0; Mid::LEN]), Vec::new()),
        };
        let mut command = self.on("landed", r#gen, &user);
        command.arg(line(&device, &to)).arg(letter).arg(&sn.to_be_bytes()).arg(&mid.0).arg(answer);
        let link = self.link.clone();
        self.link.begin(async move {
            let mut shared = link.shared().await?;
            let counts = command.query_async(&mut shared.connection).await;
            counts.map_err(|error| link.failed_shared(&shared, &error))
        })
    }

    fn stamps(&self, users: [UserId; 2]) -> Soon<[Stamp; 2]> {
        if !self.is_reachable() {
            return Soon::Now(Err(Unavailable));
        }
        let mut both = pipe();
        for user in &users {
            both.cmd("FCALL_RO").arg("hushwire1_stamp").arg(2).arg(self.link.generation_key());
            both.arg(self.link.key(&user.0, "v"));
        }
        let link = self.link.clone();
        self.link.begin(async move {
            let mut shared = link.shared().await?;
            let stamps: Result<[(Vec<u8>, u64); 2], _> =
                both.query_async(&mut shared.connection).await;
            let stamps = stamps.map_err(|error| link.failed_shared(&shared, &error))?;
            let [a, b] =
                stamps.map(|(r#gen, v)| Some(Stamp { r#gen: Gen::from_slice(&r#gen)?, v }));
            Ok([a.ok_or(Unavailable)?, b.ok_or(Unavailable)?])
        })
    }

    fn raise(&self, users: Vec<UserId>) -> Soon<()> {
        let mut all = pipe();
        for user in &users {
            all.cmd("FCALL").arg("hushwire1_raise").arg(1).arg(self.link.key(&user.0, "v"));
            all.arg(self.link.state().said_now()).ignore();
        }
        let link = self.link.clone();
        self.link.begin(async move {
            let mut shared = link.shared().await?;
            let raised = all.query_async(&mut shared.connection).await;
            raised.map_err(|error| link.failed_shared(&shared, &error))
        })
    }
}

fn line(device: &DeviceId, to: &UserId) -> Vec<u8> {
    [&device.0[..], &to.0[..]].concat()
}

/// What the library says; `None` inside if it is of another generation, and `None` for words that
/// this version does not know.
fn parse(value: Value, class: Class, rates: &Rates) -> Option<Option<Admitted>> {
    let mut values = array(value)?.into_iter();
    let word = bytes(values.next()?)?;
    let verdict = match word.as_slice() {
        b"other gen" => return Some(None),
        b"at" => return Some(Some(Admitted::At(number(values.next()?)?))),
        b"outdated" => return Some(Some(Admitted::Changed)),
        b"would" => match bytes(values.next()?)?.as_slice() {
            b"new" => Verdict::New,
            b"changed" => Verdict::Changed,
            b"again" => Verdict::Again,
            b"resubmitted" => Verdict::Resubmitted,
            _ => return None,
        },
        b"answer" => Verdict::Answer(Arc::new(codec::parse_answer(&bytes(values.next()?)?)?)),
        b"stale" => {
            let last_sn = u64::from_be_bytes(bytes(values.next()?)?.try_into().ok()?);
            let mid = Mid::from_slice(&bytes(values.next()?)?)?;
            let answer = bytes(values.next()?)?;
            let known = if answer.is_empty() { None } else { Some(codec::parse_answer(&answer)?) };
            Verdict::Refused(Reject::StaleSn { last_sn, mid, answer: known })
        }
        b"busy" => Verdict::busy(),
        b"repeat" => {
            let (retry_after_ms, every_ms) = (number(values.next()?)?, number(values.next()?)?);
            Verdict::repeated_too_soon(retry_after_ms, every_ms)
        }
        b"too often" => Verdict::resubmitted_too_soon(number(values.next()?)?),
        b"too much" => Verdict::resubmitted_too_much(),
        b"counter" => Verdict::Refused(Reject::CounterReuse {}),
        b"rate" => Verdict::Refused(rates.too_soon(class, number(values.next()?)?)),
        _ => return None,
    };
    Some(Some(Admitted::Told(verdict)))
}
