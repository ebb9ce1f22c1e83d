//! Bytes of the ring to records. Every length, number and text is checked; bad bytes are an error that says which.

use std::borrow::Cow;

use watcher_common::{
    Flags, Header, Kind, MtuEnter, OwnerKind, Return, SysctlEnter, SysctlValues, VERSION, Who,
};
use zerocopy::FromBytes;

use crate::model::{Boottime, Writer};

/// A record of the ring.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one call, and a box would cost an allocation"
)]
pub enum Record {
    /// A write of a sysctl was entered.
    SysctlEnter(SysctlEnter),
    /// The kernel is about to hand a value to a sysctl's handler.
    SysctlValues(SysctlValues),
    /// A change of an MTU was entered.
    MtuEnter(MtuEnter),
    /// A write of a sysctl, or a change of an MTU, returned.
    Return(Return),
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Shorter than a header, or not as long as it says it is, or as its kind is.
    #[error("a record of {0} bytes is not what it says it is")]
    Short(usize),
    /// Made by another version of the programs.
    #[error("a record of version {0}, where {VERSION} is wanted")]
    Version(u16),
    /// A kind that does not exist.
    #[error("a record of unknown kind {0}")]
    Kind(u8),
}

/// Reads one record.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let short = DecodeError::Short(bytes.len());
    let (header, _) = Header::read_from_prefix(bytes).map_err(|_| short)?;
    if header.version != VERSION {
        return Err(DecodeError::Version(header.version));
    }
    if header.size as usize != bytes.len() {
        return Err(short);
    }
    let kind = Kind::from_number(header.kind).ok_or(DecodeError::Kind(header.kind))?;
    Ok(match kind {
        Kind::SysctlEnter => Record::SysctlEnter(all(bytes).ok_or(short)?),
        Kind::SysctlValues => Record::SysctlValues(all(bytes).ok_or(short)?),
        Kind::MtuEnter => Record::MtuEnter(all(bytes).ok_or(short)?),
        Kind::SysctlReturn | Kind::MtuReturn => Record::Return(all(bytes).ok_or(short)?),
    })
}

fn all<T: FromBytes>(bytes: &[u8]) -> Option<T> {
    T::read_from_prefix(bytes).ok().map(|(record, _)| record)
}

/// The text of an array up to its NUL, or its end. What is not UTF-8 is replaced: names are for people.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default())
}

/// A value of which the kernel gave the length: the text, or `None` where it gave an errno. What was cut has filled
/// its array.
pub fn value(bytes: &[u8], length: i32, cut: bool) -> Option<Box<str>> {
    let length = match usize::try_from(length) {
        Ok(length) => length.min(bytes.len()),
        Err(_) if cut => bytes.len(),
        Err(_) => return None,
    };
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
    Some(text.trim_end_matches('\0').into())
}

/// Writes the path of a record into `path` with `/` between its components and without the leading `sys`. False where
/// it was cut or is no path below `/proc/sys`.
pub fn path(record: &SysctlEnter, path: &mut String) -> bool {
    path.clear();
    let count = usize::try_from(record.components).unwrap_or(usize::MAX);
    let Some(components) = record.path.get(..count) else { return false };
    let mut downwards = components.iter().rev().map(|component| text(component));
    if downwards.next().as_deref() != Some("sys") || record.header.flags & Flags::PATH_CUT != 0 {
        return false;
    }
    for component in downwards {
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&component);
    }
    !path.is_empty()
}

/// The writer that a record tells of; `None` where the programs may not learn who runs.
pub fn writer(header: &Header, who: &Who) -> Option<Writer> {
    (header.tgid != 0).then(|| Writer {
        pid: header.tgid,
        tid: header.tid,
        comm: text(&who.comm).into(),
        uid: who.uid,
        login_uid: set(who.login_uid),
        session_id: set(who.session_id),
        parent_pid: who.parent,
        parent_comm: text(&who.parent_comm).into(),
        cgroup_id: who.cgroup,
        // The kernel knows none.
        unit: None,
    })
}

/// An audit id; the kernel says "not set" by all ones.
fn set(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}

/// When the call of a record was entered; when it was made, where the entry was not seen.
pub fn entered(header: &Header) -> Boottime {
    Boottime { nanos: if header.entered == 0 { header.time } else { header.entered } }
}

/// The kind of the owner that a record tells of.
pub fn owner_kind(number: u32) -> OwnerKind {
    match number {
        1 => OwnerKind::Global,
        2 => OwnerKind::Net,
        3 => OwnerKind::Ipc,
        4 => OwnerKind::Uts,
        5 => OwnerKind::User,
        _ => OwnerKind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    fn record(components: &[&str]) -> SysctlEnter {
        let mut record = SysctlEnter::new_zeroed();
        record.header.version = VERSION;
        record.header.kind = Kind::SysctlEnter as u8;
        record.header.size = size_of::<SysctlEnter>() as u32;
        record.components = components.len() as u32;
        for (slot, component) in record.path.iter_mut().zip(components) {
            slot[..component.len()].copy_from_slice(component.as_bytes());
            // Left over from an older record.
            slot[component.len() + 1] = b'x';
        }
        record
    }

    #[test]
    fn a_path_is_read_from_the_leaf_up_and_keeps_its_dots() {
        let mut name = String::new();
        assert!(path(&record(&["rp_filter", "eth0.100", "conf", "ipv4", "net", "sys"]), &mut name));
        assert_eq!(name, "net/ipv4/conf/eth0.100/rp_filter");
        for wrong in [&["swappiness", "vm"][..], &["sys"], &[]] {
            assert!(!path(&record(wrong), &mut name), "{wrong:?}");
        }
        let mut cut = record(&["swappiness", "vm", "sys"]);
        cut.header.flags = Flags::PATH_CUT;
        assert!(!path(&cut, &mut name));
        cut.header.flags = 0;
        cut.components = 9;
        assert!(!path(&cut, &mut name));
    }

    #[test]
    fn a_value_is_as_long_as_the_kernel_says() {
        assert_eq!(value(b"61\nx", 3, false).as_deref(), Some("61\n"));
        assert_eq!(value(b"61\nx", -22, false), None);
        assert_eq!(value(b"6161", -7, true).as_deref(), Some("6161"));
        assert_eq!(value(b"61", 4096, false).as_deref(), Some("61"));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = record(&["swappiness", "vm", "sys"]);
        assert!(matches!(decode(good.as_bytes()), Ok(Record::SysctlEnter(_))));
        assert_eq!(decode(&good.as_bytes()[..31]).err(), Some(DecodeError::Short(31)));
        assert_eq!(decode(&good.as_bytes()[..600]).err(), Some(DecodeError::Short(600)));
        let mut bad = good;
        bad.header.kind = 9;
        assert_eq!(decode(bad.as_bytes()).err(), Some(DecodeError::Kind(9)));
        bad.header.version = 2;
        assert_eq!(decode(bad.as_bytes()).err(), Some(DecodeError::Version(2)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..900), kind in 0u8..8) {
            let length = u32::try_from(bytes.len()).unwrap().to_ne_bytes();
            if let [a, b, c, _, size @ ..] = bytes.as_mut_slice() && let Some(size) = size.first_chunk_mut() {
                [*a, *b] = VERSION.to_ne_bytes();
                *c = kind;
                *size = length;
            }
            let mut name = String::new();
            match decode(&bytes) {
                Ok(Record::SysctlEnter(record)) => { path(&record, &mut name); writer(&record.header, &record.who); }
                Ok(Record::SysctlValues(record)) => { value(&record.old, record.old_length, true); }
                Ok(Record::MtuEnter(record)) => { text(&record.name); }
                Ok(Record::Return(_)) | Err(_) => {}
            }
        }
    }
}
