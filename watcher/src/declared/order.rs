//! Which files of the sysctl.d directories are read, and in which order. The listing is given.

use std::collections::HashSet;

use super::sysctl::Applier;

/// The directories, highest precedence first: of files of the same name the first is the one that counts.
/// systemd has /lib only where it is not /usr/lib; where it is, nothing is found there that was not found before.
pub const SYSCTL_DIRECTORIES: [&str; 5] =
    ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d"];

/// A directory and the names in it.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Its path.
    pub path: &'static str,
    /// What is in it, of any type: an empty file, and a link to /dev/null or to nowhere, masks its name too.
    pub names: Vec<String>,
}

/// The files to read, in the order in which they are applied.
///
/// `directories` are those of [`SYSCTL_DIRECTORIES`] that exist, in that order. systemd-sysctl passes over hidden files;
/// procps does not, and reads /etc/sysctl.conf at the end (which systemd-sysctl reads only where a link in /etc/sysctl.d
/// leads to it).
pub fn sysctl_order(applier: Applier, directories: &[Directory]) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut files: Vec<(&str, &str)> = directories
        .iter()
        .flat_map(|directory| directory.names.iter().map(|name| (name.as_str(), directory.path)))
        .filter(|(name, _)| name.ends_with(".conf") && (applier == Applier::Procps || !name.starts_with('.')))
        .filter(|(name, _)| seen.insert(*name))
        .collect();
    files.sort_unstable();
    let mut paths: Vec<String> = files.into_iter().map(|(name, path)| format!("{path}/{name}")).collect();
    if applier == Applier::Procps {
        paths.push("/etc/sysctl.conf".into());
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_the_first_directory_masks() {
        let directory = |path, names: &[&str]| Directory {
            path,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let directories = [
            directory("/etc/sysctl.d", &["60-b.conf", "10-a.conf", "README", ".hidden.conf"]),
            directory("/run/sysctl.d", &["20-c.conf"]),
            directory("/usr/lib/sysctl.d", &["10-a.conf", "20-c.conf", "15-d.conf"]),
        ];
        let systemd = ["/etc/sysctl.d/10-a.conf", "/usr/lib/sysctl.d/15-d.conf", "/run/sysctl.d/20-c.conf"];
        assert_eq!(
            sysctl_order(Applier::Systemd, &directories),
            [systemd.as_slice(), &["/etc/sysctl.d/60-b.conf"]].concat()
        );
        assert_eq!(
            sysctl_order(Applier::Procps, &directories),
            [
                &["/etc/sysctl.d/.hidden.conf"],
                systemd.as_slice(),
                &["/etc/sysctl.d/60-b.conf", "/etc/sysctl.conf"]
            ]
            .concat()
        );
    }
}
