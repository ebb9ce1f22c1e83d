//! Whatever is on the ring: the hints are about what is declared, and nothing waits for ever.
//!
//! The bytes are records, each behind two bytes: its length, and in the upper bits what is done with it.

use std::time::Duration;

use watcher::{
    model::{Boottime, Hint, Pattern, Write},
    probes::{Hook, Interest, Join, Namespaces},
};

/// The length of a record; the longest there is has less than this.
const LENGTH: u16 = 0x3ff;
/// The record's version and length are put right: most that is made up ends at these otherwise.
const MENDED: u16 = 0x8000;
/// A second goes by before it.
const LATER: u16 = 0x4000;

/// How long a second is, and a little.
const PATIENCE: Duration = Duration::from_millis(1001);

fn interest() -> Interest {
    Interest {
        sysctls: ["vm/swappiness", "net/ipv4/conf/eth0.100/rp_filter"].map(Into::into).into(),
        interfaces: [std::sync::Arc::from("eth0")].into(),
        patterns: ["net.ipv4.conf.*.rp_filter", "link.b*.mtu"]
            .iter()
            .map(|text| Pattern::parse(text).expect("a pattern"))
            .collect(),
    }
}

pub fn feed(bytes: &[u8]) {
    let host = Namespaces { net: 1, ipc: 2, uts: 3, user: 4 };
    let mut join = Join::new(interest(), Some(Hook::Kprobe), host);
    let (mut now, mut hints, mut records) = (Boottime { nanos: 1 }, Vec::new(), 0);
    let mut rest = bytes;
    while let Some((head, behind)) = rest.split_first_chunk() {
        let head = u16::from_le_bytes(*head);
        let length = usize::from(head & LENGTH).min(behind.len());
        let (record, behind) = behind.split_at(length);
        rest = behind;
        let mut record = record.to_vec();
        if head & MENDED != 0
            && let Some([low, high, _, _, size @ ..]) = record.first_chunk_mut::<8>()
        {
            [*low, *high] = watcher_common::VERSION.to_ne_bytes();
            size.copy_from_slice(&(length as u32).to_ne_bytes());
        }
        if head & LATER != 0 {
            now = now.after(PATIENCE);
            join.expire(now, &mut hints);
        }
        join.take(&record, now, &mut hints);
        join.hurry(PATIENCE / 2, now, &mut hints, |_| true);
        records += 1;
    }
    now = now.after(PATIENCE);
    join.expire(now, &mut hints);
    assert_eq!(join.deadline(), None, "what did not return is given up on");
    // A call may be told of when it is late, and once more with its result.
    assert!(hints.len() <= 2 * records, "{} hints of {records} records", hints.len());
    hints.iter().for_each(check);
}

fn check(hint: &Hint) {
    let Interest { sysctls, interfaces, patterns } = interest();
    let is_declared = match &hint.write {
        Write::Sysctl(name) => {
            sysctls.contains(name) || patterns.iter().any(|pattern| pattern.matches_sysctl(name))
        }
        Write::Mtu(name) => {
            interfaces.contains(name) || patterns.iter().any(|pattern| pattern.matches_link(name))
        }
    };
    assert!(is_declared, "{hint:?}");
}
