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

use crate::{matrix::Wanted, process, sources::Sources};

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// How it is called in what people read: what it calls itself, and Debian's version of it.
    pub name: String,
    /// Debian's version alone; what `name` is where it is not Debian's.
    pub version: String,
    /// The image.
    pub image: PathBuf,
    /// The directory of its modules, `lib/modules/RELEASE`.
    pub modules: Option<PathBuf>,
}

/// How long a kernel once found to be the newest is taken for the newest.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// The parts that the package of an image may be split into, by how their names begin. What else it depends on is
/// for installing it.
const PARTS: [&str; 2] = ["linux-binary-", "linux-modules-"];

/// What fetches kernels.
#[derive(Debug)]
pub struct Archive {
    sources: Sources,
    arch: &'static str,
}

impl Archive {
    /// The archive of this machine, or why it has none (it is not Debian).
    pub fn of_this_machine() -> std::result::Result<Archive, String> {
        let arch = match env::consts::ARCH {
            "x86_64" => "amd64",
            other => return Err(format!("no VM can be started on `{other}` yet")),
        };
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            if process::find(program).is_none() {
                return Err(format!("there is no `{program}` here"));
            }
        }
        let sources = Sources::of_this_machine();
        if sources.is_empty() {
            return Err("/etc/apt names no Debian archive".to_owned());
        }
        Ok(Archive { sources, arch })
    }

    /// Where the machine gets Debian from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The newest kernel of a series.
    pub fn fetch(&self, wanted: &Wanted) -> Result<Kernel> {
        let list = self.sources.list_for(&wanted.suites);
        if list.is_empty() {
            bail!("/etc/apt names no mirror that may have {}", wanted.suites.join(", "));
        }
        let apt = Apt::new(&wanted.series, &list)?;
        apt.kernel(wanted, self.arch)
            .with_context(|| format!("cannot fetch the kernel of series {}", wanted.series))
    }
}

/// An apt of our own.
struct Apt {
    /// Where its lists, cache and state are.
    dir: PathBuf,
}

impl Apt {
    /// Lays it out for a series, with the text of its sources.list.
    fn new(series: &str, list: &str) -> Result<Apt> {
        let dir = crate::target().join("vm/apt").join(series);
        for part in ["lists/partial", "cache/archives/partial", "state", "download", "none"] {
            fs::create_dir_all(dir.join(part))
                .with_context(|| format!("cannot make {}", dir.join(part).display()))?;
        }
        fs::write(dir.join("sources.list"), list)?;
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
        println!("asking apt for the newest kernel of {}", wanted.suites.join(", "));
        process::check(self.command("apt-get").arg("update")).context(
            "the lists of packages cannot be had\nhint: a signature that cannot be checked wants a newer \
             debian-archive-keyring",
        )?;
        let meta = wanted.package.replace("{arch}", arch);
        let (package, version) = pinned(&self.show(&meta)?)
            .into_iter()
            .find(|(package, _)| package.starts_with("linux-image-"))
            .with_context(|| format!("`apt-cache show {meta}` names no kernel with its exact version"))?;
        let name = format!("{package}_{version}").replace(':', "%3a");
        if let Some(kernel) = unpacked(kernels, &name) {
            return Ok((kernel, name));
        }
        println!("fetching {package} {version}");
        let image = format!("{package}={version}");
        let parts = pinned(&self.show(&image)?).into_iter();
        let parts = parts.filter(|(part, _)| PARTS.iter().any(|prefix| part.starts_with(prefix)));
        let parts = parts.map(|(part, version)| format!("{part}={version}"));
        let download = self.dir.join("download");
        fs::remove_dir_all(&download)?;
        fs::create_dir_all(&download)?;
        process::check(self.command("apt-get").arg("download").arg(&image).args(parts))?;
        // Unpacked beside and renamed, so that a directory of that name is always whole.
        let partial = kernels.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        for deb in fs::read_dir(&download)? {
            process::check(Command::new("dpkg-deb").arg("--extract").arg(deb?.path()).arg(&partial))?;
        }
        fs::rename(&partial, kernels.join(&name)).with_context(|| format!("{image} left nothing"))?;
        fs::remove_dir_all(&download)?;
        fs::create_dir_all(&download)?;
        let kernel = unpacked(kernels, &name).with_context(|| format!("{image} holds no vmlinuz"))?;
        Ok((kernel, name))
    }

    /// What apt knows about a package: `NAME` for the newest, or `NAME=VERSION`.
    fn show(&self, package: &str) -> Result<String> {
        process::output(self.command("apt-cache").args(["show", "--no-all-versions", package]))
    }
}

/// The kernel in a directory made before: `boot/vmlinuz-RELEASE`, or where the image is split from the rest, which it
/// is since Linux 7, `vmlinuz` among its modules.
fn unpacked(kernels: &Path, name: &str) -> Option<Kernel> {
    let dir = kernels.join(name);
    let version = name.rsplit('_').next()?.replace("%3a", ":");
    let libs = ["lib/modules", "usr/lib/modules"].map(|lib| dir.join(lib));
    let (release, image) = in_boot(&dir).or_else(|| libs.iter().find_map(|lib| among_modules(lib)))?;
    let modules = libs.iter().map(|lib| lib.join(&release)).find(|dir| dir.join("kernel").is_dir());
    Some(Kernel { name: format!("{release} ({version})"), version, image, modules })
}

/// The release and the image of a kernel that lies in `boot`.
fn in_boot(dir: &Path) -> Option<(String, PathBuf)> {
    fs::read_dir(dir.join("boot")).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
        let release = path.file_name()?.to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        Some((release, path))
    })
}

/// The release and the image of a kernel that lies among its modules.
fn among_modules(lib: &Path) -> Option<(String, PathBuf)> {
    fs::read_dir(lib).ok()?.flatten().find_map(|entry| {
        let image = entry.path().join("vmlinuz");
        image.is_file().then_some((entry.file_name().into_string().ok()?, image))
    })
}

/// The packages that a package depends on in one exact version, with that version, from what `apt-cache show` says.
fn pinned(shown: &str) -> Vec<(String, String)> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    let exact = |dependency: &str| {
        let (package, version) = dependency.trim().split_once(" (= ")?;
        Some((package.to_owned(), version.strip_suffix(')')?.to_owned()))
    };
    depends.split(',').filter_map(exact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn depends(line: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(p, v)| ((*p).to_owned(), (*v).to_owned())).collect();
        assert_eq!(pinned(&format!("Package: p\n{line}\n")), expected, "{line}");
    }

    #[test]
    fn the_newest_kernel_is_what_the_empty_package_depends_on_exactly() {
        depends(
            "Depends: linux-image-6.1.0-42-cloud-amd64 (= 6.1.159-1)",
            &[("linux-image-6.1.0-42-cloud-amd64", "6.1.159-1")],
        );
        depends(
            "Depends: kmod, dracut | initramfs-tools (>= 0.120), linux-binary-7.3 (= 7.3.4-1~bpo13+1), linux-modules-7.3 (= 7.3.4-1~bpo13+1)",
            &[("linux-binary-7.3", "7.3.4-1~bpo13+1"), ("linux-modules-7.3", "7.3.4-1~bpo13+1")],
        );
        depends("Depends: libc6 (>= 2.36)", &[]);
        depends("Recommends: a (= 1)", &[]);
    }

    #[test]
    fn an_image_is_found_in_boot_and_where_it_is_split_among_its_modules() {
        let dir = tempfile::tempdir().unwrap();
        for (file, package) in [
            ("boot/vmlinuz-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64_6.1.192-2"),
            ("lib/modules/6.1.0-56-cloud-amd64/kernel/a.ko", "linux-image-6.1.0-56-cloud-amd64_6.1.192-2"),
            ("usr/lib/modules/7.3.4-cloud/vmlinuz", "linux-image-7.3.4-cloud_7.3.4-1~bpo13+1"),
            ("usr/lib/modules/7.3.4-cloud/kernel/a.ko.xz", "linux-image-7.3.4-cloud_7.3.4-1~bpo13+1"),
        ] {
            let file = dir.path().join(package).join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        for (package, name) in [
            ("linux-image-6.1.0-56-cloud-amd64_6.1.192-2", "6.1.0-56-cloud-amd64 (6.1.192-2)"),
            ("linux-image-7.3.4-cloud_7.3.4-1~bpo13+1", "7.3.4-cloud (7.3.4-1~bpo13+1)"),
        ] {
            let kernel = unpacked(dir.path(), package).unwrap();
            assert_eq!(kernel.name, name);
            assert!(kernel.image.is_file() && kernel.modules.is_some(), "{kernel:?}");
        }
        assert!(unpacked(dir.path(), "linux-image-6.2_6.2-1").is_none());
    }
}
