//! Who may use the database at the same time: one server whose messages wait in its own memory, or
//! several that share where they wait. Of two that do not, each would queue what the other's devices
//! wait for.
//!
//! The claim is a lock that PostgreSQL keeps for a connection. A connection that ends loses it, so
//! that it is claimed again as soon as PostgreSQL answers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::dsl::{select, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::connect::{Acts, Connector, Live};
use super::{Conn, PostgresOpenError};

/// The number of the lock, which is ours.
const LOCK: i64 = 0x6875_7368_616c_6f6e;
/// How often it is looked whether the connection is there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The claim. Dropped, it is given up.
#[derive(Debug)]
pub(super) struct Claim {
    end: Option<SyncSender<()>>,
    join: Option<JoinHandle<()>>,
}

impl Claim {
    /// Claims the database, for one server `alone` or with others that are not.
    pub(super) fn take(connector: &Arc<Connector>, alone: bool) -> Result<Self, PostgresOpenError> {
        let _inside = connector.handle().enter();
        let mut live = connector.connect(Acts::Change)?;
        let alarm = connector.alarm(&live, Instant::now() + connector.within());
        let claimed = lock(&mut live.conn, alone);
        alarm.abort();
        if !claimed? {
            return Err(PostgresOpenError::InUse);
        }
        let (end, ending) = sync_channel(1);
        let connector = connector.clone();
        let hold = move || hold(&connector, live, alone, &ending);
        let join = std::thread::Builder::new().name("postgres-claim".into()).spawn(hold);
        let join = join.map_err(PostgresOpenError::Thread)?;
        Ok(Self { end: Some(end), join: Some(join) })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end = None;
        if let Some(join) = self.join.take() {
            let _ = join.join();
        }
    }
}

fn hold(connector: &Connector, live: Live, alone: bool, ending: &Receiver<()>) {
    let _inside = connector.handle().enter();
    let mut held = Some(live);
    while ending.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        if let Some(live) = &mut held {
            let alarm = connector.alarm(live, Instant::now() + connector.within());
            let there = select(sql::<Bool>("true")).get_result::<bool>(&mut live.conn);
            alarm.abort();
            if there.is_ok() {
                continue;
            }
        }
        held = connector.connect(Acts::Change).ok().and_then(|mut live| {
            let alarm = connector.alarm(&live, Instant::now() + connector.within());
            // Another server has it: it is looked for again.
            let claimed = lock(&mut live.conn, alone).unwrap_or(false);
            alarm.abort();
            claimed.then_some(live)
        });
    }
}

fn lock(conn: &mut Conn, alone: bool) -> QueryResult<bool> {
    let function = if alone { "pg_try_advisory_lock" } else { "pg_try_advisory_lock_shared" };
    select(sql::<Bool>(&format!("{function}({LOCK})"))).get_result(conn)
}
