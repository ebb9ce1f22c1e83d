//! Any bytes are BTF or are refused, and a question of BTF that lies ends.

use watcher::probes::Btf;

/// What the daemon asks for, and names of the corpus.
const MEMBERS: [(&str, &[&str]); 4] =
    [("file", &["f_path", "dentry"]), ("file", &["a"]), ("path", &["dentry", "a", "x"]), ("", &["x", "y"])];

pub fn feed(bytes: &[u8]) {
    let Ok(btf) = Btf::parse(bytes) else { return };
    for (structure, path) in MEMBERS {
        assert_eq!(btf.offset(structure, path), btf.offset(structure, path));
    }
    let _ = btf.has_function("work");
}
