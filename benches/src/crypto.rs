//! What `hw1` costs on this machine: epochs and messages of each suite, for pairs of several sizes,
//! and their bytes on the wire. No server, no network: one thread that does nothing else.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use hushwire_e2ee::{
    Body, Content, ContentId, Created, DeviceKey, EpochState, History, NewEpoch, Offered, Party,
    PrekeySecret, RandomError, create, open,
};
use hushwire_identity::{
    DeviceKind, DeviceLog, Draft, Handle, Payload, Prekey, Reason, Suite, Suites, day_of,
};
use hushwire_wire::RequestId;
use hushwire_wire::message::{Class, LANE_DURABLE, Upload};
use serde_json::{Value, json};

use crate::report::{Spread, machine};

/// How much is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct Plan {
    /// Rounds; the median of them is reported.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Epochs in a round; ten times as many messages.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    epochs: u32,
    /// Where to write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

const NOW_MS: u64 = 20_000 * 86_400_000;
const REQUEST: RequestId = RequestId([0x7e; 32]);
/// Devices a side.
const SIZES: [usize; 3] = [1, 2, 8];

type Failure = Box<dyn std::error::Error>;

/// Measures, prints a table and writes the JSON.
pub(crate) fn run(plan: &Plan) -> Result<(), String> {
    let rows = measure(plan).map_err(|error| error.to_string())?;
    println!(
        "| suite | devices | make an epoch, us | take one, us | seal, us | open, us | \
         upload, B | delivered, B | epoch up, B | epoch down, B |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in &rows {
        println!("{}", row.line());
    }
    println!("\nmedians of {} rounds (lowest-highest); {}", plan.rounds, machine());
    if let Some(path) = &plan.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        let all = json!({ "machine": machine(), "rounds": plan.rounds, "crypto": rows });
        std::fs::write(path, format!("{all:#}\n"))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn measure(plan: &Plan) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for suite in [Suite::NaCl, Suite::Aes, Suite::XWing] {
        let suites = Suites::from_bits(1 << (suite.number() - 1)).ok_or("a suite")?;
        for devices in SIZES {
            rows.push(Row::of(plan, suite, devices, &Pair::new(devices, suites)?)?);
        }
    }
    Ok(rows)
}

/// Figures of one suite and size.
struct Row {
    suite: Suite,
    devices: usize,
    /// Make, take, seal, open: in microseconds.
    times: [Spread; 4],
    /// Upload and delivered of a short text; an epoch as posted, and as one device fetches it.
    bytes: [usize; 4],
}

impl Row {
    fn of(plan: &Plan, suite: Suite, devices: usize, pair: &Pair) -> Result<Self, Failure> {
        let mut samples: [Vec<f64>; 4] = Default::default();
        let mut bytes = [0; 4];
        for round in 0..plan.rounds {
            let mut random = dice(u64::from(round));
            let begun = Instant::now();
            let mut made = pair.make(&mut random)?;
            for _ in 1..plan.epochs {
                made = black_box(pair.make(&mut random)?);
            }
            samples[0].push(micros(begun, plan.epochs));
            let begun = Instant::now();
            let mut taken = pair.take(&made)?;
            for _ in 1..plan.epochs {
                taken = black_box(pair.take(&made)?);
            }
            samples[1].push(micros(begun, plan.epochs));
            let messages = plan.epochs * 10;
            let begun = Instant::now();
            let uploads = seal(&mut made.state, messages)?;
            samples[2].push(micros(begun, messages));
            let delivered = delivered(&made.state, &taken, &uploads)?;
            let begun = Instant::now();
            for message in &delivered {
                black_box(taken.open(message, NOW_MS)?);
            }
            samples[3].push(micros(begun, messages));
            let wrap = made.wraps.first().map_or(0, |(_, wrap)| wrap.len());
            bytes = [
                uploads.first().map_or(0, Vec::len),
                delivered.first().map_or(0, Vec::len),
                made.header.len() + made.wraps.iter().map(|(_, wrap)| wrap.len()).sum::<usize>(),
                made.header.len() + wrap,
            ];
        }
        Ok(Self { suite, devices, times: samples.map(Spread::of_values), bytes })
    }

    fn line(&self) -> String {
        let times: Vec<String> = self.times.iter().map(Spread::cell).collect();
        let bytes: Vec<String> = self.bytes.iter().map(usize::to_string).collect();
        let (number, devices) = (self.suite.number(), self.devices);
        format!(
            "| {number} | {devices}+{devices} | {} | {} |",
            times.join(" | "),
            bytes.join(" | ")
        )
    }

    fn json(&self) -> Value {
        let [make, take, seal, open] = &self.times;
        let [upload, delivered, epoch_up, epoch_down] = self.bytes;
        json!({
            "suite": self.suite.number(),
            "devices_a_side": self.devices,
            "make_epoch_us": make.json(),
            "take_epoch_us": take.json(),
            "seal_us": seal.json(),
            "open_us": open.json(),
            "upload_bytes": upload,
            "delivered_bytes": delivered,
            "epoch_up_bytes": epoch_up,
            "epoch_down_bytes": epoch_down,
        })
    }
}

/// One side: devices, their log, their prekeys.
struct User {
    devices: Vec<(DeviceKey, PrekeySecret)>,
    log: DeviceLog,
    prekeys: Vec<Prekey>,
}

impl User {
    fn new(name: &str, first: u8, devices: usize, suites: Suites) -> Result<Self, Failure> {
        let mut random = dice(u64::from(first));
        let mut keys = Vec::with_capacity(devices);
        for seed in (first..).take(devices) {
            let secret = PrekeySecret::generate(NonZeroU32::MIN, &mut random)?;
            keys.push((DeviceKey::from_seed([seed; 32]), secret));
        }
        let (founder, others) = keys.split_first().ok_or("a device")?;
        let kind = DeviceKind::TERMINAL;
        let genesis = founder.0.genesis("example.org", &Handle::parse(name)?, kind, suites, 1)?;
        let mut log = DeviceLog::genesis(&genesis)?;
        for (key, _) in others {
            let draft = Draft {
                seq: log.seq() + 1,
                log: log.user(),
                prev: log.head().0,
                time_ms: log.time_ms(),
                signer: founder.0.device_id(),
                payload: Payload::Add { ik: *key.public(), kind, suites },
            };
            let claim = key.claim(&log.user(), kind, suites);
            log.extend(&founder.0.sign_entry(&draft, Some(&claim)))?;
        }
        let day = day_of(NOW_MS);
        let publish =
            |(key, secret): &(DeviceKey, PrekeySecret)| secret.publish(key, &log, suites, day);
        let prekeys = keys.iter().map(publish).collect();
        Ok(Self { devices: keys, log, prekeys })
    }

    fn party(&self) -> Party<'_> {
        Party { log: &self.log, prekeys: &self.prekeys }
    }
}

/// Two users; the first device of the first writes to the first of the second.
struct Pair(User, User);

impl Pair {
    fn new(devices: usize, suites: Suites) -> Result<Self, Failure> {
        Ok(Self(User::new("alice", 10, devices, suites)?, User::new("bob", 50, devices, suites)?))
    }

    fn make(&self, random: &mut Dice) -> Result<Created, Failure> {
        let (me, prekey) = self.0.devices.first().ok_or("a device")?;
        let new = NewEpoch {
            me,
            prekey,
            mine: self.0.party(),
            peer: Some(self.1.party()),
            n: 0,
            prev: REQUEST.0,
            reason: Reason::First,
            created_ms: NOW_MS,
        };
        Ok(create(&new, random)?)
    }

    fn take(&self, made: &Created) -> Result<EpochState, Failure> {
        let (me, secret) = self.1.devices.first().ok_or("a device")?;
        let wrap = made.wraps.iter().find(|(device, _)| *device == me.device_id());
        let offered = Offered {
            header: &made.header,
            wrap: &wrap.ok_or("a wrap")?.1,
            me,
            secrets: std::slice::from_ref(secret),
            mine: self.1.party(),
            peer: Some(self.0.party()),
            history: History { request: Some(REQUEST), known: &[] },
            now_ms: NOW_MS,
        };
        Ok(open(&offered)?.state)
    }
}

fn seal(state: &mut EpochState, messages: u32) -> Result<Vec<Vec<u8>>, Failure> {
    let mut out = Vec::with_capacity(messages as usize);
    for _ in 0..messages {
        let content = Content {
            id: ContentId([0x1d; 16]),
            sent_ms: NOW_MS,
            prev_sent: 0,
            seen: state.seen(),
            body: Body::Text { reply_to: None, text: "A short text, as people write.".to_owned() },
        };
        out.push(state.seal(Class::Text, LANE_DURABLE, &content, [7; 16])?.upload);
    }
    Ok(out)
}

/// What the server hands to the device of `to`.
fn delivered(
    from: &EpochState,
    to: &EpochState,
    uploads: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, Failure> {
    let me = to.header().roster.get(usize::from(to.me())).ok_or("a slot")?.device;
    let k = from.targets().iter().position(|device| *device == me).ok_or("a target")?;
    let mut out = Vec::with_capacity(uploads.len());
    for upload in uploads {
        let upload = Upload::parse(&upload.clone().into())?;
        let tag = upload.tag(k).ok_or("a tag")?;
        out.push([upload.shared.as_bytes(), &tag].concat());
    }
    Ok(out)
}

fn micros(begun: Instant, count: u32) -> f64 {
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// Bytes that are the same in every run: a measurement needs no secret.
struct Dice(u64);

fn dice(seed: u64) -> Dice {
    Dice(seed)
}

impl hushwire_e2ee::Random for Dice {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        for byte in out {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = self.0.to_be_bytes()[0];
        }
        Ok(())
    }
}
