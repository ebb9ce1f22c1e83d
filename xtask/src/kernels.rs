//! The kernels that `cargo xtask vm` boots: Debian's own, fetched by apt with a configuration of our own.
//!
//! apt verifies what it fetches with the machine's Debian keyring. Nothing is installed, and nothing of the
//! machine's own apt is touched: lists, cache and state are kept under target/vm/apt. No host is named here: the
//! mirror is the one the machine itself uses.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// How it is called in what people read: the exact version.
    pub name: String,
    /// The image.
    pub image: PathBuf,
    /// The directory of its modules, `lib/modules/RELEASE`.
    pub modules: Option<PathBuf>,
}

/// What tests/kernels.toml holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    kernel: Vec<Wanted>,
}

/// One kernel of tests/kernels.toml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    series: String,
    suite: String,
    package: String,
}

/// How long a kernel once found to be the newest is taken for the newest.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The kernels of tests/kernels.toml, or why this machine cannot fetch them (it is not Debian).
pub fn fetch() -> Result<std::result::Result<Vec<Kernel>, String>> {
    let path = crate::root().join("tests/kernels.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: Table = toml::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    let Some(arch) = debian_arch() else {
        return Ok(Err(format!("no VM can be started on `{}` yet", env::consts::ARCH)));
    };
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if process::find(program).is_none() {
            return Ok(Err(format!("there is no `{program}` here")));
        }
    }
    let sources = Sources::of_this_machine()?;
    if sources.archive.is_empty() {
        return Ok(Err("/etc/apt names no Debian archive".to_owned()));
    }
    let kernels = table.kernel.iter().map(|wanted| {
        let apt = Apt::new(&wanted.suite, &sources)?;
        apt.kernel(wanted, arch)
            .with_context(|| format!("cannot fetch the kernel of series {}", wanted.series))
    });
    Ok(Ok(kernels.collect::<Result<_>>()?))
}

/// Where the machine gets Debian from: for each place the mirror and the option that names its keyring.
#[derive(Debug, Default, PartialEq)]
struct Sources {
    archive: Vec<Mirror>,
    security: Vec<Mirror>,
}

/// A mirror, and the keyring that its lists are signed with.
#[derive(Clone, Debug, PartialEq)]
struct Mirror {
    uri: String,
    signed_by: Option<String>,
}

impl Sources {
    /// Reads /etc/apt.
    fn of_this_machine() -> Result<Sources> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let codename = release
            .lines()
            .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
            .unwrap_or("stable")
            .trim_matches('"')
            .to_owned();
        let mut sources = Sources::default();
        let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
        if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
            let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
            more.sort();
            files.extend(more);
        }
        for file in files {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            match file.extension().and_then(|e| e.to_str()) {
                Some("list") => sources.add_list(&text, &codename),
                Some("sources") => sources.add_stanzas(&text, &codename),
                _ => {}
            }
        }
        Ok(sources)
    }

    /// Adds the Debian places of a file in the form of one line each (sources.list(5)).
    fn add_list(&mut self, text: &str, codename: &str) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Some(rest) = line.strip_prefix("deb ") else { continue };
            let (options, rest) = match rest.trim_start().strip_prefix('[').and_then(|r| r.split_once(']')) {
                Some((options, rest)) => (options, rest),
                None => ("", rest),
            };
            let signed_by = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by="));
            let mut words = rest.split_whitespace();
            let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
            let components: Vec<&str> = words.collect();
            self.add(uri, suite, &components, signed_by, codename);
        }
    }

    /// Adds the Debian places of a file in the form of stanzas (sources.list(5), DEB822).
    fn add_stanzas(&mut self, text: &str, codename: &str) {
        let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        for stanza in plain.split(|line| line.trim().is_empty()) {
            let field = |name: &str| {
                stanza.iter().find_map(|line| {
                    let (field, value) = line.split_once(':')?;
                    field.trim().eq_ignore_ascii_case(name).then_some(value.trim())
                })
            };
            let words = |name| field(name).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
            if !words("Types").contains(&"deb") || field("Enabled").is_some_and(|v| v == "no") {
                continue;
            }
            // A keyring pasted into the stanza has no path: apt then falls back to the keys it trusts anyway.
            let signed_by = field("Signed-By").filter(|path| path.starts_with('/'));
            for uri in words("URIs") {
                for suite in words("Suites") {
                    self.add(uri, suite, &words("Components"), signed_by, codename);
                }
            }
        }
    }

    /// Adds one place if it is Debian's own archive, for the machine's own release, and not somebody else's
    /// packages for it: those have another last component of the address, or another name for `main`.
    fn add(&mut self, uri: &str, suite: &str, components: &[&str], signed_by: Option<&str>, codename: &str) {
        let last = uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let kind = last.strip_suffix(".list").unwrap_or(last);
        let ours = |wanted: &str| suite == wanted || suite == wanted.replacen(codename, "stable", 1);
        let list = if kind == "debian" && ours(codename) {
            &mut self.archive
        } else if kind == "debian-security" && ours(&format!("{codename}-security")) {
            &mut self.security
        } else {
            return;
        };
        let mirror = Mirror { uri: uri.to_owned(), signed_by: signed_by.map(str::to_owned) };
        if components.contains(&"main") && !list.contains(&mirror) {
            list.push(mirror);
        }
    }

    /// The text of a sources.list for another suite from the same mirrors.
    fn list_for(&self, suite: &str) -> String {
        let mut text = String::new();
        for (mirrors, suites) in [
            (&self.archive, vec![suite.to_owned(), format!("{suite}-updates")]),
            (&self.security, vec![format!("{suite}-security")]),
        ] {
            for Mirror { uri, signed_by } in mirrors {
                let option =
                    signed_by.as_ref().map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
                for suite in &suites {
                    text += &format!("deb {option}{uri} {suite} main\n");
                }
            }
        }
        text
    }
}

/// An apt of our own.
struct Apt {
    /// Where its lists, cache and state are.
    dir: PathBuf,
}

impl Apt {
    /// Lays it out for a suite.
    fn new(suite: &str, sources: &Sources) -> Result<Apt> {
        let dir = crate::target().join("vm/apt").join(suite);
        for part in ["lists/partial", "cache/archives/partial", "state", "download", "none"] {
            fs::create_dir_all(dir.join(part))
                .with_context(|| format!("cannot make {}", dir.join(part).display()))?;
        }
        fs::write(dir.join("sources.list"), sources.list_for(suite))?;
        // An empty list of installed packages: what the machine has installed must not decide what is newest.
        fs::write(dir.join("status"), "")?;
        Ok(Apt { dir })
    }

    /// A command of apt that sees nothing of the machine's but its keyrings, proxies and the like.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let dir = self.dir.display();
        for option in [
            format!("Dir::State={dir}/state"),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::State::status={dir}/status"),
            format!("Dir::Cache={dir}/cache"),
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            format!("Dir::Etc::sourceparts={dir}/none"),
            format!("Dir::Etc::preferences={dir}/none/preferences"),
            format!("Dir::Etc::preferencesparts={dir}/none"),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
            "APT::Update::Error-Mode=any".to_owned(),
            // Run as root, apt fetches as a user of its own, who may not write into the target directory.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.arg("--quiet=2").env("LC_ALL", "C").current_dir(self.dir.join("download"));
        command
    }

    /// The newest kernel of a series: the one found within the last day, or asked for anew.
    fn kernel(&self, wanted: &Wanted, arch: &str) -> Result<Kernel> {
        let kernels = crate::target().join("vm/kernels");
        fs::create_dir_all(&kernels)?;
        let current = kernels.join(format!("{}.current", wanted.series));
        let before = fs::read_to_string(&current).unwrap_or_default();
        let known = || unpacked(&kernels, &before);
        let age = fs::metadata(&current).and_then(|meta| meta.modified());
        let age = age.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age < FRESH)
            && let Some(kernel) = known()
        {
            return Ok(kernel);
        }
        match self.newest(wanted, arch, &kernels) {
            Ok((kernel, name)) => {
                // The one it supersedes is of no use any more. No directory of another kind has a kernel in it.
                if name != before && known().is_some() {
                    fs::remove_dir_all(kernels.join(&before))?;
                }
                fs::write(&current, name)?;
                Ok(kernel)
            }
            Err(error) => match known() {
                Some(kernel) => {
                    eprintln!("warning: {error:#}\nwarning: {} was fetched before and is used", kernel.name);
                    Ok(kernel)
                }
                None => Err(error),
            },
        }
    }

    /// Asks apt for the newest kernel, fetches and unpacks it; also the name of its directory.
    fn newest(&self, wanted: &Wanted, arch: &str, kernels: &Path) -> Result<(Kernel, String)> {
        println!("asking apt for the newest kernel of {}", wanted.suite);
        process::check(self.command("apt-get").arg("update"))?;
        let meta = wanted.package.replace("{arch}", arch);
        let shown = process::output(self.command("apt-cache").args(["show", "--no-all-versions", &meta]))?;
        let (package, version) = depends_on(&shown)
            .with_context(|| format!("`apt-cache show {meta}` names no kernel with its exact version"))?;
        let name = format!("{package}_{version}").replace(':', "%3a");
        if let Some(kernel) = unpacked(kernels, &name) {
            return Ok((kernel, name));
        }
        println!("fetching {package} {version}");
        let download = self.dir.join("download");
        fs::remove_dir_all(&download)?;
        fs::create_dir_all(&download)?;
        process::check(self.command("apt-get").arg("download").arg(format!("{package}={version}")))?;
        let Some(deb) = fs::read_dir(&download)?.flatten().map(|e| e.path()).find(|p| p.is_file()) else {
            bail!("apt-get download {package}={version} left nothing in {}", download.display());
        };
        // Unpacked beside and renamed, so that a directory of that name is always whole.
        let partial = kernels.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        process::check(Command::new("dpkg-deb").arg("--extract").arg(&deb).arg(&partial))?;
        fs::rename(&partial, kernels.join(&name))?;
        fs::remove_file(deb)?;
        let kernel =
            unpacked(kernels, &name).with_context(|| format!("{package} holds no boot/vmlinuz-*"))?;
        Ok((kernel, name))
    }
}

/// Debian's word for this machine, if a VM can be started on it.
fn debian_arch() -> Option<&'static str> {
    match env::consts::ARCH {
        "x86_64" => Some("amd64"),
        _ => None,
    }
}

/// The kernel in a directory made before.
fn unpacked(kernels: &Path, name: &str) -> Option<Kernel> {
    let dir = kernels.join(name);
    let image = fs::read_dir(dir.join("boot")).ok()?.flatten().map(|e| e.path()).find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("vmlinuz-"))
    })?;
    let release = image.file_name()?.to_str()?.strip_prefix("vmlinuz-")?;
    let modules = ["lib/modules", "usr/lib/modules"].map(|lib| dir.join(lib).join(release));
    let modules = modules.into_iter().find(|dir| dir.is_dir());
    let version = name.rsplit('_').next()?;
    Some(Kernel { name: format!("{release} ({version})"), modules, image })
}

/// The package and exact version that `apt-cache show` of a package without content says it depends on.
fn depends_on(shown: &str) -> Option<(String, String)> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    depends.split(',').find_map(|dependency| {
        let (package, version) = dependency.trim().split_once(" (= ")?;
        package
            .starts_with("linux-image-")
            .then(|| (package.to_owned(), version.trim_end_matches(')').to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

    #[test]
    fn the_mirror_of_the_machine_is_found_in_stanzas_and_others_are_left_alone() {
        let mut sources = Sources::default();
        sources.add_stanzas(
            &format!(
                "Types: deb deb-src\n# a comment\nURIs: http://mirror.test/debian/\nSuites: trixie trixie-updates\n\
                 Components: main contrib\nSigned-By: {KEYRING}\n\nTypes: deb\nURIs: mirror+file:///etc/apt/mirrors/debian-security.list\n\
                 Suites: trixie-security\nComponents: main\n\nTypes: deb\nURIs: https://other.test/linux/debian\n\
                 Suites: trixie\nComponents: stable\n\nEnabled: no\nTypes: deb\nURIs: http://off.test/debian\n\
                 Suites: trixie\nComponents: main\n"
            ),
            "trixie",
        );
        assert_eq!(
            sources.list_for("bookworm"),
            format!(
                "deb [signed-by={KEYRING}] http://mirror.test/debian/ bookworm main\n\
                 deb [signed-by={KEYRING}] http://mirror.test/debian/ bookworm-updates main\n\
                 deb mirror+file:///etc/apt/mirrors/debian-security.list bookworm-security main\n"
            )
        );
    }

    #[test]
    fn the_mirror_of_the_machine_is_found_in_lines() {
        let mut sources = Sources::default();
        sources.add_list(
            &format!(
                "# deb http://off.test/debian bookworm main\ndeb-src http://mirror.test/debian bookworm main\n\
                 deb [arch=amd64 signed-by={KEYRING}] http://mirror.test/debian bookworm main non-free\n\
                 deb http://mirror.test/debian-security stable-security main # the stable one\n\
                 deb http://other.test/apt bookworm main\n"
            ),
            "bookworm",
        );
        let mirror = |uri: &str, signed_by: Option<&str>| Mirror {
            uri: uri.to_owned(),
            signed_by: signed_by.map(str::to_owned),
        };
        assert_eq!(sources.archive, [mirror("http://mirror.test/debian", Some(KEYRING))]);
        assert_eq!(sources.security, [mirror("http://mirror.test/debian-security", None)]);
    }

    #[test]
    fn the_newest_kernel_is_what_the_empty_package_depends_on() {
        let shown =
            "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-42-cloud-amd64 (= 6.1.159-1)\n";
        let found = depends_on(shown).unwrap();
        assert_eq!(found, ("linux-image-6.1.0-42-cloud-amd64".to_owned(), "6.1.159-1".to_owned()));
        assert_eq!(depends_on("Depends: libc6 (>= 2.36)\n"), None);
    }

    #[test]
    fn the_table_of_kernels_is_well_formed() {
        let table: Table = toml::from_str(include_str!("../../tests/kernels.toml")).unwrap();
        assert!(table.kernel.iter().any(|kernel| kernel.series == "6.1"));
    }
}
