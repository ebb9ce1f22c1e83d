//! What tests/kernels.toml says: which kernels there are, what is wrong when one does not pass, and how they are
//! booted. Nothing here fetches or boots.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The whole of tests/kernels.toml, checked.
#[derive(Debug)]
pub struct Matrix {
    /// The kernels, in the order of the file.
    pub kernels: Vec<Wanted>,
    /// The boots: one of each kernel with everything, then the further ones.
    pub boots: Vec<Boot>,
}

/// A kernel to fetch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// What it is called in what people write: `6.1`, or `newest`.
    pub series: String,
    /// Debian's suites that have it; the newest of all of them is taken.
    pub suites: Vec<String>,
    /// The package that depends on it, with `{arch}` for Debian's word for the machine.
    pub package: String,
    /// What is wrong when it does not pass.
    pub need: Need,
    /// The newest version that has passed; only where `need` is `newest`.
    pub passed: Option<String>,
}

/// What is wrong when a kernel cannot be had, or does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Both are failures.
    Required,
    /// It may be gone from the mirrors; where it is there it must pass.
    Offered,
    /// It moves: only a version that has passed before must pass again.
    Newest,
}

impl Wanted {
    /// Whether a failure of this version is a failure of ours.
    pub fn must_pass(&self, version: &str) -> bool {
        match self.need {
            Need::Required | Need::Offered => true,
            Need::Newest => self.passed.as_deref() == Some(version),
        }
    }
}

/// What runs in a guest besides what is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Userland {
    /// Nothing: PID 1 is ours.
    #[default]
    Bare,
    /// Debian's systemd, of the release that the kernel is of.
    Systemd,
}

/// One boot of one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// What it is called: the kernel's series, or for a further boot its own name.
    pub name: String,
    /// Which kernel it boots.
    pub series: String,
    /// How many processors the guest has.
    pub processors: u8,
    /// What runs in it besides what is ours.
    pub userland: Userland,
    /// What the kernel is told besides what every boot needs.
    pub command_line: Vec<String>,
    /// Only the scenarios whose names contain one of these; all where it is empty.
    pub filter: Vec<String>,
}

impl Boot {
    /// A boot with everything and nothing special.
    pub fn plain(series: &str) -> Boot {
        Boot { name: series.to_owned(), series: series.to_owned(), processors: 1, ..Boot::default() }
    }

    /// How it differs from a plain boot, in words; empty where it does not.
    pub fn how(&self) -> String {
        let mut words = Vec::new();
        if self.processors != 1 {
            words.push(format!("{} processors", self.processors));
        }
        if self.userland == Userland::Systemd {
            words.push("Debian's systemd".to_owned());
        }
        words.extend(self.command_line.iter().map(|word| format!("`{word}`")));
        if !self.filter.is_empty() {
            words.push(format!("only `{}`", self.filter.join("`, `")));
        }
        words.join(", ")
    }
}

/// A further boot as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Further {
    name: String,
    series: String,
    #[serde(default = "one")]
    processors: u8,
    #[serde(default)]
    userland: Userland,
    #[serde(default)]
    command_line: Vec<String>,
    #[serde(default)]
    filter: Vec<String>,
}

fn one() -> u8 {
    1
}

/// The file as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    kernel: Vec<Wanted>,
    #[serde(default)]
    boot: Vec<Further>,
}

/// Where it is.
pub fn path() -> PathBuf {
    crate::root().join("tests/kernels.toml")
}

impl Matrix {
    /// Reads tests/kernels.toml.
    pub fn read() -> Result<Matrix> {
        let path = path();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Matrix::parse(&text).with_context(|| format!("cannot use {}", path.display()))
    }

    /// Reads its text.
    fn parse(text: &str) -> Result<Matrix> {
        let raw: Raw = toml::from_str(text)?;
        let mut matrix = Matrix { kernels: Vec::new(), boots: Vec::new() };
        for kernel in raw.kernel {
            let Wanted { series, suites, need, passed, .. } = &kernel;
            ensure!(!suites.is_empty(), "kernel `{series}` names no suite");
            ensure!(
                passed.is_none() || *need == Need::Newest,
                "kernel `{series}` has `passed`, which only `need = \"newest\"` looks at"
            );
            matrix.add(Boot::plain(series))?;
            matrix.kernels.push(kernel);
        }
        for Further { name, series, processors, userland, command_line, filter } in raw.boot {
            ensure!(processors > 0, "boot `{name}` has no processor");
            let known = matrix.kernels.iter().any(|kernel| kernel.series == series);
            ensure!(known, "boot `{name}` boots `{series}`, and there is no such kernel");
            matrix.add(Boot { name, series, processors, userland, command_line, filter })?;
        }
        Ok(matrix)
    }

    /// Adds a boot whose name is its own, and can be the name of a file.
    fn add(&mut self, boot: Boot) -> Result<()> {
        let name = &boot.name;
        let fit = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        ensure!(
            !name.is_empty() && !name.starts_with('.') && name.chars().all(fit),
            "`{name}` is no name: letters, digits, `.` and `-` are wanted"
        );
        ensure!(self.boots.iter().all(|other| other.name != *name), "there are two boots `{name}`");
        self.boots.push(boot);
        Ok(())
    }

    /// The boot to begin with where nothing was asked for: the first kernel that is required.
    pub fn first(&self) -> Result<Boot> {
        match self.kernels.iter().find(|kernel| kernel.need == Need::Required) {
            Some(kernel) => Ok(Boot::plain(&kernel.series)),
            None => bail!("no kernel of {} is required", path().display()),
        }
    }

    /// The boots of these names.
    pub fn named(&self, names: &[String]) -> Result<Vec<Boot>> {
        let find = |name: &String| {
            self.boots.iter().find(|boot| boot.name == *name).cloned().with_context(|| {
                let known: Vec<&str> = self.boots.iter().map(|boot| boot.name.as_str()).collect();
                format!("there is no boot `{name}`\nhint: there are {}", known.join(", "))
            })
        };
        names.iter().map(find).collect()
    }
}

/// Notes in tests/kernels.toml that a version of a kernel has passed.
pub fn note_passed(series: &str, version: &str) -> Result<()> {
    let path = path();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::write(&path, with_passed(&text, series, version))
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {version} has passed: {}", path.display());
    Ok(())
}

/// The text with this version as `passed` of this kernel. The file is written by people, so the rest of it stays as
/// it is, comments and all.
fn with_passed(text: &str, series: &str, version: &str) -> String {
    let (mut here, mut written) = (false, String::new());
    for line in text.lines() {
        if line.starts_with("[[") {
            here = false;
        }
        here |= line == format!("series = \"{series}\"");
        if here && line.starts_with("passed = ") {
            continue;
        }
        written += &format!("{line}\n");
        if here && line.starts_with("need = ") {
            written += &format!("passed = \"{version}\"\n");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "[[kernel]]\nseries = \"6.1\"\nsuites = [\"bookworm\"]\npackage = \"p\"\nneed = \"required\"\n";

    #[track_caller]
    fn kernel<'a>(matrix: &'a Matrix, series: &str) -> &'a Wanted {
        matrix.kernels.iter().find(|kernel| kernel.series == series).unwrap()
    }

    #[track_caller]
    fn refused(more: &str, why: &str) {
        let error = Matrix::parse(&format!("{ONE}{more}")).unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
    }

    #[test]
    fn every_kernel_boots_once_with_everything_and_the_further_boots_follow() {
        let text = format!(
            "{ONE}[[boot]]\nname = \"two\"\nseries = \"6.1\"\nprocessors = 2\nfilter = [\"x\", \"y\"]\n"
        );
        let matrix = Matrix::parse(&text).unwrap();
        let names: Vec<&str> = matrix.boots.iter().map(|boot| boot.name.as_str()).collect();
        assert_eq!(names, ["6.1", "two"]);
        assert_eq!(matrix.boots.first().map(Boot::how).as_deref(), Some(""));
        assert_eq!(matrix.boots.last().map(Boot::how).as_deref(), Some("2 processors, only `x`, `y`"));
        assert_eq!(matrix.first().unwrap(), Boot::plain("6.1"));
        let error = matrix.named(&["6.2".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "there is no boot `6.2`\nhint: there are 6.1, two");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        refused(ONE, "two boots `6.1`");
        refused("passed = \"6.1.1-1\"\n", "only `need = \"newest\"`");
        refused("[[boot]]\nname = \"a\"\nseries = \"6.2\"\n", "no such kernel");
        refused("[[boot]]\nname = \"../a\"\nseries = \"6.1\"\n", "is no name");
        refused("[[boot]]\nname = \"a\"\nseries = \"6.1\"\nprocessors = 0\n", "no processor");
        refused("[[boot]]\nname = \"a\"\nseries = \"6.1\"\nsmp = 2\n", "unknown field `smp`");
    }

    #[test]
    fn only_the_newest_kernel_may_fail_and_only_where_it_has_never_passed() {
        let newest = "[[kernel]]\nseries = \"newest\"\nsuites = [\"s\"]\npackage = \"p\"\nneed = \"newest\"\npassed = \"7.3.4-1\"\n";
        let matrix = Matrix::parse(&format!("{ONE}{newest}")).unwrap();
        let must_pass = |series, version| kernel(&matrix, series).must_pass(version);
        assert!(must_pass("6.1", "6.1.999-1"));
        assert!(must_pass("newest", "7.3.4-1"));
        assert!(!must_pass("newest", "7.3.5-1"));
    }

    #[test]
    fn the_table_of_kernels_is_well_formed_and_6_1_and_6_12_are_required() {
        let matrix = Matrix::read().unwrap();
        for series in ["6.1", "6.12"] {
            assert_eq!(kernel(&matrix, series).need, Need::Required, "{series}");
        }
        assert_eq!(matrix.first().unwrap().name, "6.1");
    }

    #[test]
    fn what_passed_is_noted_with_its_kernel_and_nothing_else_is_touched() {
        let text = |passed: &str| {
            format!(
                "# why\n{ONE}\n[[kernel]]\nseries = \"new\"\nneed = \"newest\"\n{passed}\n# boots\n[[boot]]\n"
            )
        };
        for before in [text(""), text("passed = \"7.1-1\"\n")] {
            let after = with_passed(&before, "new", "7.2-1");
            assert_eq!(after, text("passed = \"7.2-1\"\n"));
        }
    }
}
