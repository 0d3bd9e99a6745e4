//! WebSocket frames: operations of the protocol, whole or damaged, in frames that keep RFC 6455 or
//! do not.

use std::sync::OnceLock;

use hushwire_fuzz::seeds;
use hushwire_wire::frame::{
    Ack, CallAct, ClientFrame, ClientOp, Failed, Resynced, Send, SendCall, SendEphemeral,
    ShowPresence,
};
use hushwire_wire::message::{Class, Header, write_upload};
use hushwire_wire::{CallId, Encoding, Gen, Mid, Nonce, UserId};
use serde_json::Value;

use crate::dice::Dice;
use crate::mutate;
use crate::world::World;
use crate::ws::Head;

/// One message in one or more frames, or a control frame, or what is neither. `serial` rises over
/// all parts of all connections.
pub(crate) fn frames(
    dice: &mut Dice,
    world: &World,
    person: usize,
    encoding: Encoding,
    serial: u64,
) -> Vec<u8> {
    let mut out = Vec::new();
    let opcode = if encoding == Encoding::Json { 1 } else { 2 };
    let payload = payload(dice, world, person, encoding, serial);
    let whole = Head::whole(opcode, payload.len(), mask(dice));
    // Mostly whole: what is not kept ends the connection, and nothing behind it is read.
    match dice.below(100) {
        0 => control(dice, &mut out),
        1 => fragments(dice, opcode, &payload, &mut out),
        2 => Head { first: whole.first | dice.pick([0x10, 0x20, 0x40, 0x70]), ..whole }
            .write(&payload, &mut out),
        3 => Head { first: 0x80 | dice.pick([0, 3, 5, 7, 11, 15]), ..whole }
            .write(&payload, &mut out),
        4 => Head { masked: false, ..whole }.write(&payload, &mut out),
        5 => Head { wide: dice.pick([2, 8]), ..whole }.write(&payload, &mut out),
        6 => {
            let declared =
                dice.pick([0, 1, 125, 126, 4_097, 65_535, 98_304, 98_305, 1 << 31, u64::MAX]);
            Head { declared, ..whole }.write(&payload, &mut out);
        }
        7 => Head { first: 0x80 | (3 - opcode), ..whole }.write(&payload, &mut out),
        8 => Head { first: dice.byte(), ..whole }.write(&payload, &mut out),
        9 => {
            whole.write(&payload, &mut out);
            mutate::bytes(dice, &mut out);
        }
        _ => whole.write(&payload, &mut out),
    }
    out
}

fn mask(dice: &mut Dice) -> [u8; 4] {
    if dice.one_in(4) { [0; 4] } else { dice.array() }
}

fn control(dice: &mut Dice, out: &mut Vec<u8>) {
    let opcode = dice.pick([8, 9, 9, 10]);
    let len = dice.pick([0, 1, 2, 125, 126, 200]);
    let mut payload = dice.bytes(len);
    if opcode == 8 && len >= 2 && dice.one_in(2) {
        let code: u16 = dice.pick([0, 999, 1000, 1005, 1006, 1015, 4409, 65_535]);
        payload[..2].copy_from_slice(&code.to_be_bytes());
    }
    Head::whole(opcode, len, mask(dice)).write(&payload, out);
}

/// A message in pieces, with control frames between, and sometimes without a beginning or an end.
fn fragments(dice: &mut Dice, opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    let count = dice.pick([1, 2, 3, 15, 16, 17, 40]);
    let pieces: Vec<_> = payload.chunks(payload.len().div_ceil(count).max(1)).collect();
    let (headless, endless) = (dice.one_in(6), dice.one_in(6));
    for (k, piece) in pieces.iter().enumerate() {
        let code = if k == 0 && !headless { opcode } else { 0 };
        let last = k + 1 == pieces.len() && !endless;
        let head = Head::whole(code, piece.len(), mask(dice));
        Head { first: if last { 0x80 | code } else { code }, ..head }.write(piece, out);
        if dice.one_in(5) {
            control(dice, out);
        }
    }
}

fn payload(
    dice: &mut Dice,
    world: &World,
    person: usize,
    encoding: Encoding,
    serial: u64,
) -> Vec<u8> {
    let mut bytes = match dice.below(40) {
        0 => {
            let seeds = corpus(encoding);
            seeds[dice.below(seeds.len())].clone()
        }
        1 => {
            let len = dice.pick([0, 1, 3, 60, 2_000, 98_304]);
            dice.bytes(len)
        }
        2 => {
            let deep = dice.pick([10, 127, 128, 10_000]);
            vec![if encoding == Encoding::Json { b'[' } else { 0x81 }; deep]
        }
        _ => {
            let frame = op(dice, world, person, serial);
            if encoding == Encoding::Json && dice.one_in(4) {
                let mut value = serde_json::to_value(&frame).unwrap_or(Value::Null);
                mutate::json(dice, &mut value);
                serde_json::to_vec(&value).unwrap_or_default()
            } else {
                encoding.encode_client(&frame)
            }
        }
    };
    if dice.one_in(25) {
        mutate::bytes(dice, &mut bytes);
    }
    bytes
}

/// The seeds of the offline target for this encoding.
fn corpus(encoding: Encoding) -> &'static [Vec<u8>] {
    static JSON: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    static CBOR: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let (cell, name) = match encoding {
        Encoding::Json => (&JSON, "client_json"),
        Encoding::Cbor => (&CBOR, "client_cbor"),
    };
    cell.get_or_init(|| {
        let all = seeds::all().into_iter();
        all.filter(|seed| seed.target == name).map(|seed| seed.bytes).collect()
    })
}

/// An operation that decodes, though it need not be allowed.
fn op(dice: &mut Dice, world: &World, person: usize, serial: u64) -> ClientFrame {
    let (pair, who) = world.person(person);
    let stranger = UserId(dice.array());
    let to = match dice.below(8) {
        0 => stranger,
        1 => pair.people[who].user(),
        _ => pair.people[1 - who].user(),
    };
    let op = match dice.below(16) {
        0..7 => ClientOp::Send(Send {
            to,
            sn: if dice.one_in(12) { dice.pick([0, 1, 1 << 53, u64::MAX]) } else { serial },
            upload: upload(dice, world, person, serial).into(),
            withdraw: match dice.below(6) {
                0 => vec![Mid(dice.array()); dice.pick([1, 16, 17])],
                _ => Vec::new(),
            },
            re: dice.one_in(12).then(|| Gen(dice.array())),
        }),
        7 | 8 => {
            let n = dice.pick([0, 1, 2, 3, 5, 1_000, u64::MAX]);
            let failed = || Failed { n, code: "x".repeat(dice_len(n)) };
            let count = dice.pick([0, 0, 1, 64, 65]);
            ClientOp::Ack(Ack { n, failed: (0..count).map(|_| failed()).collect() })
        }
        9 => ClientOp::Resynced(Resynced { r#gen: Gen(dice.array()) }),
        10 => ClientOp::Ephemeral(SendEphemeral {
            to,
            upload: upload(dice, world, person, serial).into(),
        }),
        11 => ClientOp::Call(SendCall {
            to,
            call_id: CallId(dice.array()),
            act: dice.pick([
                CallAct::Ring,
                CallAct::Ringing,
                CallAct::Answer,
                CallAct::Decline,
                CallAct::Busy,
                CallAct::Signal,
                CallAct::End,
                CallAct::Elsewhere,
            ]),
            upload: dice.one_in(2).then(|| upload(dice, world, person, serial).into()),
        }),
        12 => ClientOp::Presence(ShowPresence {
            on: dice.one_in(2),
            to: vec![to; dice.pick([0, 1, 2, 256, 257])],
        }),
        13 => ClientOp::Sync {},
        14 => ClientOp::Ping {},
        _ => return pair.people[who].hello(&Nonce(dice.array())),
    };
    let id = dice.pick([None, Some(0), Some(2), Some(u64::MAX)]);
    ClientFrame { id, op }
}

/// Short codes and codes past the bound, without another throw.
fn dice_len(n: u64) -> usize {
    if n == 3 { 33 } else { 5 }
}

/// An upload whose open layout is right; what it seals is nobody's business here.
fn upload(dice: &mut Dice, world: &World, person: usize, serial: u64) -> Vec<u8> {
    let (pair, who) = world.person(person);
    let (class, lane) = dice.pick([
        (Class::Text, 0),
        (Class::Text, 0),
        (Class::Text, 0),
        (Class::Edit, 0),
        (Class::Remove, 0),
        (Class::FileSmall, 0),
        (Class::Control, 0),
        (Class::Reaction, 0),
        (Class::Control, 1),
        (Class::Call, 1),
    ]);
    let header = Header {
        class,
        sender: if dice.one_in(10) { dice.byte() } else { pair.senders[who] },
        lane,
        // Rising, as far as connections at the same time let it.
        counter: u32::try_from(serial).unwrap_or(u32::MAX),
        epoch: pair.epoch,
        mid: Mid(dice.array()),
    };
    let padded = dice.pick([256, 256, 256, 256, 256, 256, 512, 512, 1_024, 4_096, 65_536, 255]);
    let fill = dice.byte();
    let count = if dice.one_in(12) { dice.pick([0, 2, 15]) } else { 1 };
    let tags = vec![dice.array(); count];
    write_upload(&header, &dice.array(), &vec![fill; padded + 16], &tags)
}
