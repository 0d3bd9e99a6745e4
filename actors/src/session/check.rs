//! What a `send` must be before it is counted: shape and size, class, epoch, roster, tags, in
//! this order (DELIVERY, "Send" 2; CRYPTO 10). Functions without a state.
//!
//! None of this is the security of a message: clients check everything again.

use hushwire_wire::frame::Send;
use hushwire_wire::limits::{INT_MAX, WITHDRAW_MAX};
use hushwire_wire::message::{Class, LANE_DURABLE, SMALL_CT, Upload};
use hushwire_wire::{Reject, UserId};

use crate::ports::{PairFacts, SignedIn};
use crate::route::Target;

/// Shape, size, class and lane.
pub(crate) fn shape(me: UserId, send: &Send) -> Result<Upload, Reject> {
    if send.sn == 0 || send.sn > INT_MAX {
        return Err(Reject::bad("op.send.sn", "a number from 1 to 2^53 - 1"));
    }
    let upload = Upload::parse(&send.upload)?;
    if upload.header.lane != LANE_DURABLE {
        return Err(Reject::bad("upload.lane", "the durable lane"));
    }
    let withdraws = send.withdraw.len();
    if withdraws > WITHDRAW_MAX || (withdraws > 0 && upload.header.class != Class::Remove) {
        let expected = "at most 16 messages, and none unless the class is 3 (removal)";
        return Err(Reject::bad("op.send.withdraw", expected));
    }
    let small = match upload.header.class {
        Class::Remove | Class::Reaction => true,
        Class::Control => send.to != me,
        _ => false,
    };
    if small && upload.ct_len() > SMALL_CT {
        return Err(Reject::TooLarge { limit: SMALL_CT as u64 });
    }
    Ok(upload)
}

/// Epoch, sender, tags: the devices that the message is for, with their tags.
pub(crate) fn targets(
    me: &SignedIn,
    to: UserId,
    upload: &Upload,
    facts: &PairFacts,
) -> Result<Vec<Target>, Reject> {
    let header = &upload.header;
    if header.epoch != facts.epoch || !facts.heads_current {
        return Err(Reject::EpochStale {});
    }
    let sender = usize::from(header.sender);
    let is_me =
        |k: usize| facts.roster.get(k).is_some_and(|d| d.user == me.user && d.device == me.device);
    if !is_me(sender) {
        return Err(Reject::Forbidden {});
    }
    let others = facts.roster.iter().enumerate().filter(|(k, d)| *k != sender && d.wrapped);
    let targets: Vec<_> = others
        .enumerate()
        .filter_map(|(k, (_, d))| {
            let own = d.user == me.user && to != me.user;
            upload.tag(k).map(|tag| Target { device: d.device, tag, own })
        })
        .collect();
    let wrapped = facts.roster.iter().enumerate().filter(|(k, d)| *k != sender && d.wrapped);
    if wrapped.count() != upload.tag_count() {
        return Err(Reject::bad("upload.m", "one tag for each other device with a prekey"));
    }
    if to != me.user && targets.iter().all(|target| target.own) {
        return Err(Reject::RecipientStale {});
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use hushwire_wire::message::{Header, write_upload};
    use hushwire_wire::{DeviceId, EpochId, Mid};

    use super::*;
    use crate::ports::RosterDevice;

    fn me() -> SignedIn {
        SignedIn { user: UserId([1; 32]), device: DeviceId([1; 16]), v: 0, since_ms: 0 }
    }

    fn send(to: u8, class: Class, lane: u8, ct: usize, tags: usize) -> Send {
        let (epoch, mid) = (EpochId([7; 32]), Mid([9; 16]));
        let header = Header { class, sender: 1, lane, counter: 0, epoch, mid };
        let upload = write_upload(&header, &[0; 32], &vec![0; ct], &vec![[4; 16]; tags]);
        Send { to: UserId([to; 32]), sn: 1, upload: upload.into(), withdraw: Vec::new(), re: None }
    }

    fn facts() -> PairFacts {
        let device = |user: u8, device: u8, wrapped| RosterDevice {
            user: UserId([user; 32]),
            device: DeviceId([device; 16]),
            wrapped,
        };
        PairFacts {
            epoch: EpochId([7; 32]),
            n: 0,
            heads_current: true,
            roster: vec![
                device(2, 20, true),
                device(1, 1, true),
                device(1, 11, true),
                device(2, 21, false),
            ],
        }
    }

    fn check(send: &Send, facts: &PairFacts) -> Result<Vec<Target>, Reject> {
        let upload = shape(me().user, send)?;
        targets(&me(), send.to, &upload, facts)
    }

    #[test]
    fn tags_go_to_the_wrapped_devices_in_roster_order() {
        let targets = check(&send(2, Class::Text, 0, 272, 2), &facts()).unwrap();
        let seen: Vec<_> = targets.iter().map(|t| (t.device.0[0], t.own)).collect();
        assert_eq!(seen, [(20, false), (11, true)]);
    }

    #[test]
    fn each_rule_has_its_reject() {
        let text = || send(2, Class::Text, 0, 272, 2);
        let sn = |sn| Send { sn, ..text() };
        for bad in [sn(0), sn(INT_MAX + 1)] {
            assert!(
                matches!(check(&bad, &facts()), Err(Reject::BadRequest { field, .. }) if field == "op.send.sn")
            );
        }
        assert!(check(&sn(INT_MAX), &facts()).is_ok());
        let ephemeral = send(2, Class::Control, 1, 272, 2);
        assert!(
            matches!(check(&ephemeral, &facts()), Err(Reject::BadRequest { field, .. }) if field == "upload.lane")
        );
        let withdraw = |class, count| Send {
            withdraw: vec![Mid([1; 16]); count],
            ..send(2, class, 0, 528, 2)
        };
        assert!(check(&withdraw(Class::Remove, WITHDRAW_MAX), &facts()).is_ok());
        for (class, count) in
            [(Class::Remove, WITHDRAW_MAX + 1), (Class::Text, 1), (Class::Reaction, 1)]
        {
            assert!(
                matches!(check(&withdraw(class, count), &facts()), Err(Reject::BadRequest { field, .. }) if field == "op.send.withdraw")
            );
        }
        for class in [Class::Remove, Class::Reaction, Class::Control] {
            assert!(check(&send(2, class, 0, 528, 2), &facts()).is_ok());
            let large = check(&send(2, class, 0, 1_040, 2), &facts());
            assert_eq!(large, Err(Reject::TooLarge { limit: 528 }));
        }
        assert!(shape(me().user, &send(1, Class::Control, 0, 65_552, 2)).is_ok(), "self-sync");
        let stale = PairFacts { heads_current: false, ..facts() };
        assert_eq!(check(&text(), &stale), Err(Reject::EpochStale {}));
        let newer = PairFacts { epoch: EpochId([8; 32]), ..facts() };
        assert_eq!(check(&text(), &newer), Err(Reject::EpochStale {}));
        let mut swapped = facts();
        swapped.roster.swap(1, 2);
        assert_eq!(check(&text(), &swapped), Err(Reject::Forbidden {}));
        for tags in [0, 1, 3] {
            let wrong = check(&send(2, Class::Text, 0, 272, tags), &facts());
            assert!(matches!(wrong, Err(Reject::BadRequest { field, .. }) if field == "upload.m"));
        }
        let mut unwrapped = facts();
        unwrapped.roster[0].wrapped = false;
        let nobody = check(&send(2, Class::Text, 0, 272, 1), &unwrapped);
        assert_eq!(nobody, Err(Reject::RecipientStale {}));
    }
}
