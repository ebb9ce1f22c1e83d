//! Which keys a pattern means now.

use std::{fs, path::Path};

use crate::model::{Key, Pattern};

/// How many keys a pattern may mean. What is more is a mistake in the pattern, or somebody who makes files.
const MOST: usize = 20_000;

/// The keys that a pattern means below a root (`/`), in the order of their paths, at most [`MOST`]; also whether there
/// were more. What cannot be listed has none; a file that is never read (write-only, or acting when it is read) is none.
pub fn expand(root: &Path, pattern: &Pattern) -> (Vec<Key>, bool) {
    let mut all = usize::MAX;
    expand_within(root, pattern, &mut all)
}

/// The same, looking at no more names of directories than are left; where these do not do, there are more keys.
pub fn expand_within(root: &Path, pattern: &Pattern, left: &mut usize) -> (Vec<Key>, bool) {
    // Paths below the root, without the slash before them.
    let mut paths = vec![String::new()];
    for glob in pattern.components() {
        let mut next = Vec::new();
        for path in &paths {
            if !Pattern::is_glob(glob) {
                next.push(join(path, glob));
                continue;
            }
            for entry in fs::read_dir(root.join(path)).into_iter().flatten().flatten() {
                let Some(less) = left.checked_sub(1) else { return (Vec::new(), true) };
                *left = less;
                if let Some(name) = entry.file_name().to_str()
                    && Pattern::fits(glob, name)
                {
                    next.push(join(path, name));
                }
            }
            // One more than is taken tells that there were more.
            if next.len() > MOST {
                next.truncate(MOST + 1);
                break;
            }
        }
        next.sort_unstable();
        paths = next;
    }
    let more = paths.len() > MOST;
    paths.truncate(MOST);
    let is_file = |path: &&String| fs::metadata(root.join(path)).is_ok_and(|meta| meta.is_file());
    let keys = paths.iter().filter(is_file).filter_map(|path| pattern.key_at(path)).collect();
    (keys, more)
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    #[test]
    fn a_pattern_means_the_files_that_are_there_and_can_be_watched() {
        let root = host(&[
            ("proc/sys/net/ipv4/conf/eth0.100/rp_filter", "1\n"),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "1\n"),
            ("proc/sys/net/ipv4/conf/all/forwarding", "1\n"),
            ("proc/sys/vm/swappiness", "1\n"),
            ("proc/sys/vm/drop_caches", "1\n"),
            ("proc/sys/vm/sub/x", "1\n"),
            ("sys/class/net/lo/mtu", "65536\n"),
        ]);
        for (pattern, wanted) in [
            ("net.ipv4.conf.*.rp_filter", "net.ipv4.conf.all.rp_filter net.ipv4.conf.eth0/100.rp_filter"),
            ("vm.*", "vm.swappiness"),
            ("link.*.mtu", "link.lo.mtu"),
            ("/sys/block/*/queue/scheduler", ""),
        ] {
            let (keys, more) = expand(root.path(), &Pattern::parse(pattern).unwrap());
            let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
            assert_eq!((keys.join(" ").as_str(), more), (wanted, false), "of {pattern}");
        }
    }
}
