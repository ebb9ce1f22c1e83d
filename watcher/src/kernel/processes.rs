//! Processes by state.

use std::{fs, io, path::Path};

/// The processes in a state, as `pid name`, in the order of their numbers. A process that ends meanwhile is in none.
pub fn in_state(root: &Path, state: char) -> io::Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("proc"))? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read(entry.path().join("stat")) else { continue };
        let stat = String::from_utf8_lossy(&stat);
        // The name stands in parentheses and may hold some itself: the last one ends it (proc_pid_stat(5)).
        let Some((before, after)) = stat.rsplit_once(") ") else { continue };
        if after.starts_with(state) {
            let name = before.split_once('(').map_or("", |(_, name)| name);
            found.push((pid, name.to_owned()));
        }
    }
    found.sort_unstable();
    Ok(found)
}
