//! Columns to domain values and back. A column that holds something else is a corrupt database.

use hushwire_wire::{DeviceId, EpochId, RequestId, UserId};

use crate::failure::Failure;

pub(crate) fn user(bytes: &[u8]) -> Result<UserId, Failure> {
    UserId::from_slice(bytes).ok_or(Failure::Corrupt("log_id"))
}

pub(crate) fn device(bytes: &[u8]) -> Result<DeviceId, Failure> {
    DeviceId::from_slice(bytes).ok_or(Failure::Corrupt("device_id"))
}

pub(crate) fn epoch(bytes: &[u8]) -> Result<EpochId, Failure> {
    EpochId::from_slice(bytes).ok_or(Failure::Corrupt("epoch_id"))
}

pub(crate) fn request(bytes: &[u8]) -> Result<RequestId, Failure> {
    RequestId::from_slice(bytes).ok_or(Failure::Corrupt("request_id"))
}

pub(crate) fn b32(bytes: &[u8], column: &'static str) -> Result<[u8; 32], Failure> {
    bytes.try_into().map_err(|_| Failure::Corrupt(column))
}

pub(crate) fn n32(value: i64, column: &'static str) -> Result<u32, Failure> {
    u32::try_from(value).map_err(|_| Failure::Corrupt(column))
}

/// A count or a time from a column.
pub(crate) fn n64(value: i64, column: &'static str) -> Result<u64, Failure> {
    u64::try_from(value).map_err(|_| Failure::Corrupt(column))
}

/// A time for a column. Later than any clock is as late as a column can say.
pub(crate) fn ms(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The two users in order.
pub(crate) fn ordered(one: UserId, other: UserId) -> (UserId, UserId) {
    if one <= other { (one, other) } else { (other, one) }
}
