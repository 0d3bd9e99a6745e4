//! Self-sync: what a user's own devices tell each other in the self-pair. The payloads are the
//! client's (PROTOCOL, "Self-sync"); here they are opaque.

/// What a self-sync is about. Kinds that are not listed are dropped like unknown types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SyncKind {
    /// Names of contacts and devices.
    Names = 1,
    /// Who is verified, and at which heads.
    Marks = 2,
    /// What was read.
    Read = 3,
    /// Texts that are not sent yet.
    Drafts = 4,
    /// Settings of the user.
    Settings = 5,
    /// A part of the history, for a new device.
    History = 6,
    /// The highest verified point of each log.
    Pins = 7,
}

impl SyncKind {
    /// The kind of this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Names,
            2 => Self::Marks,
            3 => Self::Read,
            4 => Self::Drafts,
            5 => Self::Settings,
            6 => Self::History,
            7 => Self::Pins,
            _ => return None,
        })
    }
}
