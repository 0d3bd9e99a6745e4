//! The open layout of a message (CRYPTO 6): what the server reads, and nothing it cannot.
//!
//! `upload = header | b32 commit | v32 ct | u8 m | m*b16` comes from the sender;
//! `header | b32 commit | v32 ct | tag_j` goes to device j. Everything but the tag is the same
//! bytes for all recipients, so it is kept once and shared.

use bytes::Bytes;

use crate::ids::{EpochId, Mid};
use crate::layout::{LayoutError, Reader, Writer};
use crate::sealed::Sealed;

/// The size of a message header in bytes.
pub const HEADER_LEN: usize = 56;
/// The size of a tag in bytes.
pub const TAG_LEN: usize = 16;
/// The size of the commitment in bytes.
pub const COMMIT_LEN: usize = 32;
/// What sealing adds to the padded content, in bytes.
pub const SEAL_OVERHEAD: usize = 16;
/// The padded sizes of content, in bytes: powers of two from 256 to 65,536.
pub const PADDED: [usize; 9] = [256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
/// The largest number of tags: a roster of 16 devices, less the sender.
pub const MAX_TAGS: usize = 15;
/// The largest ciphertext, in bytes, of receipts, removals and reactions: 512 of content.
pub const SMALL_CT: usize = 528;

/// The durable lane: queued, counted, acknowledged.
pub const LANE_DURABLE: u8 = 0;
/// The ephemeral lane: typing and calls, never queued.
pub const LANE_EPHEMERAL: u8 = 1;

/// What kind of message this is, as far as the server sees (CRYPTO 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Class {
    /// Text, or a batch charged as one text.
    Text = 1,
    /// An edit of an own message.
    Edit = 2,
    /// The removal of an own message.
    Remove = 3,
    /// A file of at most 1 MiB.
    FileSmall = 4,
    /// A file of at most 16 MiB.
    FileMedium = 5,
    /// A file of at most 100 MiB.
    FileLarge = 6,
    /// Call signals.
    Call = 16,
    /// Receipts, self-sync, profile; typing on the ephemeral lane.
    Control = 17,
    /// Reactions and timers.
    Reaction = 18,
}

impl Class {
    /// The class of this number on this lane; `None` for a pair that CRYPTO 7 does not know.
    #[must_use]
    pub const fn from_pair(class: u8, lane: u8) -> Option<Self> {
        Some(match (class, lane) {
            (1, LANE_DURABLE) => Self::Text,
            (2, LANE_DURABLE) => Self::Edit,
            (3, LANE_DURABLE) => Self::Remove,
            (4, LANE_DURABLE) => Self::FileSmall,
            (5, LANE_DURABLE) => Self::FileMedium,
            (6, LANE_DURABLE) => Self::FileLarge,
            (16, LANE_EPHEMERAL) => Self::Call,
            (17, LANE_DURABLE | LANE_EPHEMERAL) => Self::Control,
            (18, LANE_DURABLE) => Self::Reaction,
            _ => return None,
        })
    }

    /// Whether the 10-second rule counts it: text, edit and file.
    #[must_use]
    pub const fn is_paced(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Edit | Self::FileSmall | Self::FileMedium | Self::FileLarge
        )
    }
}

/// The 56 open bytes of a message. Class, lane, epoch, counter and mid are read here and nowhere
/// else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind.
    pub class: Class,
    /// The sender's index in the epoch's roster.
    pub sender: u8,
    /// [`LANE_DURABLE`] or [`LANE_EPHEMERAL`].
    pub lane: u8,
    /// The position in the sender's chain of this lane and epoch, from 0.
    pub counter: u32,
    /// The epoch under whose chains it is encrypted.
    pub epoch: EpochId,
    /// The salt, which is the message's id.
    pub mid: Mid,
}

impl Header {
    /// Reads a header from its 56 bytes.
    ///
    /// # Errors
    /// For another version, an unknown pair of class and lane, or a wrong length.
    pub fn parse(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        let header = Self::read(&mut r)?;
        r.finish("upload.header")?;
        Ok(header)
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, LayoutError> {
        if r.u8("upload.ver")? != 1 {
            return Err(LayoutError::new("upload.ver", "1"));
        }
        let class = r.u8("upload.class")?;
        let sender = r.u8("upload.sender")?;
        let lane = r.u8("upload.lane")?;
        let class = Class::from_pair(class, lane)
            .ok_or(LayoutError::new("upload.class", "a class and lane of CRYPTO 7"))?;
        Ok(Self {
            class,
            sender,
            lane,
            counter: r.u32("upload.counter")?,
            epoch: EpochId(r.array("upload.epoch")?),
            mid: Mid(r.array("upload.salt")?),
        })
    }

    /// The 56 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut w = Writer::with_capacity(HEADER_LEN);
        w.u8(1).u8(self.class as u8).u8(self.sender).u8(self.lane).u32(self.counter);
        w.raw(self.epoch.as_bytes()).raw(self.mid.as_bytes());
        let mut out = [0; HEADER_LEN];
        out.copy_from_slice(&w.finish());
        out
    }
}

/// A parsed upload. Both parts are slices of the one buffer that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The open header.
    pub header: Header,
    /// `header | commit | v32 ct`: what every recipient gets.
    pub shared: Sealed,
    /// `m * b16`, one tag for each target in roster order.
    tags: Bytes,
    ct_len: usize,
}

impl Upload {
    /// Splits an upload into what is shared and the tags.
    ///
    /// # Errors
    /// For a header that [`Header::parse`] refuses, a ciphertext whose length is not a padded
    /// size plus [`SEAL_OVERHEAD`], more than [`MAX_TAGS`] tags, or bytes left over.
    pub fn parse(upload: &Sealed) -> Result<Self, LayoutError> {
        let bytes = upload.as_bytes();
        let mut r = Reader::new(bytes);
        let header = Header::read(&mut r)?;
        r.take(COMMIT_LEN, "upload.commit")?;
        let ct = r.v32("upload.ct")?;
        let ct_len = ct.len();
        if !ct_len.checked_sub(SEAL_OVERHEAD).is_some_and(|n| PADDED.contains(&n)) {
            return Err(LayoutError::new("upload.ct", "a padded size of CRYPTO 6"));
        }
        let shared = bytes.len() - r.rest().len();
        let m = usize::from(r.u8("upload.m")?);
        if m > MAX_TAGS {
            return Err(LayoutError::new("upload.m", "at most 15 tags"));
        }
        r.take(m * TAG_LEN, "upload.tags")?;
        r.finish("upload")?;
        let all = upload.clone().into_bytes();
        Ok(Self {
            header,
            shared: Sealed::new(all.slice(..shared)),
            tags: all.slice(shared + 1..),
            ct_len,
        })
    }

    /// The number of tags.
    #[must_use]
    pub fn tag_count(&self) -> usize {
        self.tags.len() / TAG_LEN
    }

    /// The k-th tag.
    #[must_use]
    pub fn tag(&self, k: usize) -> Option<[u8; TAG_LEN]> {
        self.tags.as_chunks::<TAG_LEN>().0.get(k).copied()
    }

    /// The length of the ciphertext in bytes.
    #[must_use]
    pub const fn ct_len(&self) -> usize {
        self.ct_len
    }
}

/// Puts an upload together, in the order of the layout.
#[must_use]
pub fn write_upload(
    header: &Header,
    commit: &[u8; COMMIT_LEN],
    ct: &[u8],
    tags: &[[u8; TAG_LEN]],
) -> Vec<u8> {
    let mut w =
        Writer::with_capacity(HEADER_LEN + COMMIT_LEN + 5 + ct.len() + tags.len() * TAG_LEN);
    w.raw(&header.to_bytes()).raw(commit).v32(ct);
    w.u8(u8::try_from(tags.len()).unwrap_or(u8::MAX));
    for tag in tags {
        w.raw(tag);
    }
    w.finish()
}

/// A message as a device receives it: `header | commit | v32 ct | tag`.
#[derive(Clone, Copy, Debug)]
pub struct Delivered<'a> {
    /// The open header.
    pub header: Header,
    /// The header's 56 bytes, as hashed.
    pub header_bytes: &'a [u8],
    /// The commitment to the message key.
    pub commit: &'a [u8; COMMIT_LEN],
    /// The ciphertext.
    pub ct: &'a [u8],
    /// This device's own tag.
    pub tag: &'a [u8; TAG_LEN],
}

impl<'a> Delivered<'a> {
    /// Splits a delivered message.
    ///
    /// # Errors
    /// As [`Upload::parse`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LayoutError> {
        let mut r = Reader::new(bytes);
        let header_bytes = r.take(HEADER_LEN, "msg.header")?;
        let header = Header::parse(header_bytes)?;
        let commit = r
            .take(COMMIT_LEN, "msg.commit")?
            .first_chunk()
            .ok_or(LayoutError::new("msg.commit", "32 bytes"))?;
        let ct = r.v32("msg.ct")?;
        if !ct.len().checked_sub(SEAL_OVERHEAD).is_some_and(|n| PADDED.contains(&n)) {
            return Err(LayoutError::new("msg.ct", "a padded size of CRYPTO 6"));
        }
        let tag = r
            .take(TAG_LEN, "msg.tag")?
            .first_chunk()
            .ok_or(LayoutError::new("msg.tag", "16 bytes"))?;
        r.finish("msg")?;
        Ok(Self { header, header_bytes, commit, ct, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            class: Class::Text,
            sender: 1,
            lane: 0,
            counter: 7,
            epoch: EpochId([0xe0; 32]),
            mid: Mid([0x5a; 16]),
        }
    }

    fn upload(ct: usize, tags: usize) -> Sealed {
        write_upload(&header(), &[0xc0; 32], &vec![0xcc; ct], &vec![[0x7a; 16]; tags]).into()
    }

    #[test]
    fn an_upload_is_split_without_copying() {
        let sealed = upload(272, 3);
        let parsed = Upload::parse(&sealed).unwrap();
        assert_eq!(parsed.header, header());
        assert_eq!(parsed.tag_count(), 3);
        assert_eq!(parsed.tag(2), Some([0x7a; 16]));
        assert_eq!(parsed.tag(3), None);
        assert_eq!(parsed.shared.as_bytes().as_ptr(), sealed.as_bytes().as_ptr());
        assert_eq!(sealed.len(), 413, "CRYPTO 13: a short text to three devices");
        let mut delivered = parsed.shared.as_bytes().to_vec();
        delivered.extend_from_slice(&[0x7a; 16]);
        assert_eq!(delivered.len(), 380);
        let split = Delivered::parse(&delivered).unwrap();
        assert_eq!(split.header, header());
        assert_eq!(split.ct.len(), 272);
    }

    #[test]
    fn wrong_shapes_are_refused_by_name() {
        let refuse = |bytes: Vec<u8>| Upload::parse(&bytes.into()).unwrap_err().field;
        assert_eq!(refuse(vec![]), "upload.ver");
        assert_eq!(Upload::parse(&upload(273, 1)).unwrap_err().field, "upload.ct");
        assert_eq!(Upload::parse(&upload(16, 1)).unwrap_err().field, "upload.ct");
        assert_eq!(Upload::parse(&upload(272, 16)).unwrap_err().field, "upload.m");
        let good = upload(272, 1).as_bytes().to_vec();
        let mut version = good.clone();
        version[0] = 2;
        assert_eq!(refuse(version), "upload.ver");
        let mut lane = good.clone();
        lane[3] = 1;
        assert_eq!(refuse(lane), "upload.class");
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(refuse(longer), "upload");
        let mut shorter = good;
        shorter.pop();
        assert_eq!(refuse(shorter), "upload.tags");
    }
}
