//! Nonces and tokens. A nonce is taken once, whichever nodes try; a token is good while its hash is
//! in its device's set, so that all of a device's end in one step.

use bb8_redis::redis::{Value, cmd, pipe};
use hushwire_actors::Limits;
use hushwire_actors::ports::Unavailable;
use hushwire_actors::queue::{Call, Reply};
use hushwire_wire::limits::NONCE_TTL_MS;
use hushwire_wire::{DeviceId, UserId};

use crate::link::Link;

/// Executes a call about nonces or tokens.
pub(crate) async fn call(link: &Link, limits: &Limits, call: &Call) -> Result<Reply, Unavailable> {
    let mut connection = link.connection().await?;
    match call {
        Call::PutNonce(nonce) => {
            // Bounded by how many sign-ins may be tried in the minute that they live.
            let kept: bool = cmd("FCALL")
                .arg("hushwire1_keep")
                .arg(1)
                .arg(link.key(&nonce.0, "nonce"))
                .arg(1)
                .arg(NONCE_TTL_MS)
                .query_async(&mut **connection)
                .await
                .map_err(|error| link.failed(&mut connection, &error))?;
            if kept { Ok(Reply::Done) } else { Err(Unavailable) }
        }
        Call::TakeNonce(nonce) => {
            let taken: Option<u8> = cmd("GETDEL")
                .arg(link.key(&nonce.0, "nonce"))
                .query_async(&mut **connection)
                .await
                .map_err(|error| link.failed(&mut connection, &error))?;
            Ok(Reply::Nonce(taken.is_some()))
        }
        Call::PutToken { hash, user, device, ttl_ms } => {
            let ttl = *ttl_ms;
            let most = limits.tokens_per_device.max(1);
            let put: Value = cmd("FCALL")
                .arg("hushwire1_put_token")
                .arg(2)
                .arg(link.key(&device.0, "meta"))
                .arg(link.key(&device.0, "tokens"))
                .arg(hash)
                .arg(ttl)
                .arg(most)
                .arg(link.state().said_now())
                .query_async(&mut **connection)
                .await
                .map_err(|error| link.failed(&mut connection, &error))?;
            if put != Value::Int(1) {
                return Err(Unavailable);
            }
            let whose = [&user.0[..], &device.0[..]].concat();
            let _: bool = cmd("FCALL")
                .arg("hushwire1_keep")
                .arg(1)
                .arg(link.key(hash, "token"))
                .arg(whose)
                .arg(ttl)
                .query_async(&mut **connection)
                .await
                .map_err(|error| link.failed(&mut connection, &error))?;
            Ok(Reply::Done)
        }
        Call::CheckToken { hash } => {
            let whose: Option<Vec<u8>> = cmd("GET")
                .arg(link.key(hash, "token"))
                .query_async(&mut **connection)
                .await
                .map_err(|error| link.failed(&mut connection, &error))?;
            let Some((user, device)) = whose.as_deref().and_then(parse) else {
                return Ok(Reply::Token(None));
            };
            let is_good: bool = cmd("FCALL_RO")
                .arg("hushwire1_check_token")
                .arg(1)
                .arg(link.key(&device.0, "tokens"))
                .arg(hash)
                .arg(link.state().said_now())
                .query_async(&mut **connection)
                .await
                .map_err(|error| link.failed(&mut connection, &error))?;
            Ok(Reply::Token(is_good.then_some((user, device))))
        }
        _ => Err(Unavailable),
    }
}

/// Ends all tokens of a device.
pub(crate) async fn drop_device(link: &Link, device: &DeviceId) -> Result<(), Unavailable> {
    let mut connection = link.connection().await?;
    let mut both = pipe();
    both.cmd("DEL").arg(link.key(&device.0, "tokens")).ignore();
    let (): () = both
        .query_async(&mut **connection)
        .await
        .map_err(|error| link.failed(&mut connection, &error))?;
    link.copied(&mut connection).await
}

fn parse(bytes: &[u8]) -> Option<(UserId, DeviceId)> {
    let (user, device) = bytes.split_at_checked(UserId::LEN)?;
    Some((UserId::from_slice(user)?, DeviceId::from_slice(device)?))
}
