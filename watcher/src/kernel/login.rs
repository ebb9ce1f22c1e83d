//! The login uid of a process: who sat at the terminal, whatever `sudo` made of him since.

use std::{fs, path::Path};

/// The login uid of a process; `None` where none was set, or the process is gone. -1 is none (kernel fs/proc/base.c,
/// `proc_loginuid_read`; kernel/audit.c `INVALID_UID`).
pub fn login_uid(root: &Path, pid: u32) -> Option<u32> {
    let text = fs::read_to_string(root.join(format!("proc/{pid}/loginuid"))).ok()?;
    text.trim_end().parse().ok().filter(|uid| *uid != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_host::host;

    #[test]
    fn who_logged_in_is_known_by_the_process_and_nobody_is_nobody() {
        let root = host(&[("proc/7/loginuid", "1000"), ("proc/8/loginuid", "4294967295")]);
        assert_eq!([7, 8, 9].map(|pid| login_uid(root.path(), pid)), [Some(1000), None, None]);
    }
}
