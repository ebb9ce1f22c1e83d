//! The table of docs/kernels.md: what held where, as the guests told it. It stands between two marker lines and is
//! written by `cargo xtask vm --all --write` alone; a test holds that it has every boot of tests/kernels.toml. The boots
//! into systemd, where other scenarios run, have a table of their own.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    claims::{Claim, Outcome},
    kernels::Kernel,
    matrix::{self, Boot, Matrix, Need, Userland},
};

/// What one boot told.
#[derive(Debug)]
pub struct Column {
    pub boot: Boot,
    pub kernel: Kernel,
    pub claims: Vec<Claim>,
}

/// The lines that the table stands between.
const BEGIN: &str = "<!-- written by `cargo xtask vm --all --write` from here -->";
const END: &str = "<!-- to here -->";

/// Where it stands.
fn path() -> PathBuf {
    crate::root().join("docs/kernels.md")
}

/// Writes the table, and notes the newest kernel where it passed. Only a run of every boot is the whole truth.
pub fn write(matrix: &Matrix, columns: &[Column]) -> Result<()> {
    let missing: Vec<&str> = matrix.boots.iter().map(|boot| boot.name.as_str()).collect();
    let missing: Vec<&str> =
        missing.into_iter().filter(|name| columns.iter().all(|column| column.boot.name != *name)).collect();
    if !missing.is_empty() {
        bail!("docs/kernels.md is not written: there is no verdict of {}", missing.join(", "));
    }
    let path = path();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let written = replace(&text, &render(columns))
        .with_context(|| format!("{} has no lines `{BEGIN}` and `{END}`", path.display()))?;
    fs::write(&path, written).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {}", path.display());
    for wanted in matrix.kernels.iter().filter(|wanted| wanted.need == Need::Newest) {
        let mut of_it = columns.iter().filter(|column| column.boot.series == wanted.series).peekable();
        let Some(version) = of_it.peek().map(|column| column.kernel.version.clone()) else { continue };
        if of_it.all(Column::holds) && wanted.passed.as_ref() != Some(&version) {
            matrix::note_passed(&wanted.series, &version)?;
        }
    }
    Ok(())
}

impl Column {
    /// Whether all that was tried held.
    fn holds(&self) -> bool {
        self.claims.iter().all(|claim| claim.outcome == Outcome::Holds)
    }

    /// The claims that are asked for.
    fn of<'a>(&'a self, wanted: impl Fn(&Claim) -> bool + 'a) -> impl Iterator<Item = &'a Claim> {
        self.claims.iter().filter(move |claim| wanted(claim))
    }
}

/// The text with another table in it.
fn replace(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

/// What a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surface {
    Sysctl,
    Link,
    Any,
}

impl Surface {
    const ALL: [Surface; 3] = [Surface::Sysctl, Surface::Link, Surface::Any];

    /// The surface a claim names in its own words. Most tell of the daemon, whatever the surface.
    fn of(claim: &str) -> Surface {
        const LINK: [&str; 8] =
            ["mtu", "mtus", "interface", "interfaces", "bond", "bonds", "tunnel", "rtnetlink"];
        let names = |words: &[&str]| claim.split('_').any(|word| words.contains(&word));
        if names(&LINK) {
            Surface::Link
        } else if names(&["sysctl", "sysctls"]) {
            Surface::Sysctl
        } else {
            Surface::Any
        }
    }

    /// What it is called in the table.
    fn name(self) -> &'static str {
        match self {
            Surface::Sysctl => "sysctl",
            Surface::Link => "link",
            Surface::Any => "whatever the surface",
        }
    }
}

/// The whole of it: the boots, the counts of each surface and plan, the claims one by one.
fn render(columns: &[Column]) -> String {
    let mut text = "| boot | Linux | with | scenarios that hold |\n|---|---|---|---|\n".to_owned();
    for column in columns {
        text += &row(&[
            column.boot.name.clone(),
            column.kernel.name.clone(),
            column.boot.how(),
            count(column.claims.iter()),
        ]);
    }
    let (bare, units): (Vec<&Column>, Vec<&Column>) =
        columns.iter().partition(|column| column.boot.userland == Userland::Bare);
    text += &under_plans(&bare);
    if !units.is_empty() {
        text += "\nAnd of the unit as it is packaged, with the programs that a person types:\n\n";
        text += &head(&["claim"], &names(&units));
        for claim in claims(&units) {
            let cells = units.iter().map(|column| {
                held(&BTreeSet::from(["systemd"]), column.of(move |other| other.claim == claim))
            });
            text += &row(&[vec![claim.replace('_', " ")], cells.collect()].concat());
        }
    }
    text
}

/// What boots are called.
fn names(columns: &[&Column]) -> Vec<String> {
    columns.iter().map(|column| column.boot.name.clone()).collect()
}

/// What is claimed, each once, in the order in which it was first tried.
fn claims<'a>(columns: &[&'a Column]) -> Vec<&'a str> {
    let mut claims: Vec<&str> = Vec::new();
    for claim in all(columns) {
        if !claims.contains(&claim.claim.as_str()) {
            claims.push(&claim.claim);
        }
    }
    claims
}

/// The counts of each surface and plan, and the claims one by one.
fn under_plans(columns: &[&Column]) -> String {
    let names = names(columns);
    let modes: BTreeSet<&str> = all(columns).map(|claim| claim.mode.as_str()).collect();

    let mut text = "\nHow many scenarios of each surface hold under each plan:\n\n".to_owned();
    text += &head(&["surface", "plan"], &names);
    for surface in Surface::ALL {
        for mode in &modes {
            let wanted = |claim: &Claim| Surface::of(&claim.claim) == surface && claim.mode == *mode;
            if all(columns).any(wanted) {
                let cells = columns.iter().map(|column| count(column.of(wanted)));
                text +=
                    &row(&[[surface.name().to_owned(), format!("`{mode}`")].to_vec(), cells.collect()]
                        .concat());
            }
        }
    }

    text += "\nEach of them, with the plans it is tried under:\n\n";
    text += &head(&["claim", "plans"], &names);
    for claim in claims(columns) {
        let wanted = |other: &Claim| other.claim == claim;
        let tried: BTreeSet<&str> =
            all(columns).filter(|other| wanted(other)).map(|claim| claim.mode.as_str()).collect();
        let plans: Vec<String> = tried.iter().map(|mode| format!("`{mode}`")).collect();
        let cells = columns.iter().map(|column| held(&tried, column.of(wanted)));
        text += &row(&[[claim.replace('_', " "), plans.join(", ")].to_vec(), cells.collect()].concat());
    }
    text
}

/// The claims of all boots, in the order they were first tried.
fn all<'a>(columns: &[&'a Column]) -> impl Iterator<Item = &'a Claim> {
    columns.iter().flat_map(|column| &column.claims)
}

/// A row of cells.
fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a table with a column for each boot.
fn head(first: &[&str], boots: &[String]) -> String {
    let cells: Vec<String> =
        first.iter().map(|cell| (*cell).to_owned()).chain(boots.iter().cloned()).collect();
    row(&cells) + "|" + &"---|".repeat(cells.len()) + "\n"
}

/// How many hold.
fn count<'a>(claims: impl Iterator<Item = &'a Claim>) -> String {
    let (mut holds, mut all) = (0_usize, 0_usize);
    for claim in claims {
        all += 1;
        holds += usize::from(claim.outcome == Outcome::Holds);
    }
    match all {
        0 => "-".to_owned(),
        _ if holds == all => format!("{all}"),
        _ => format!("**{holds} of {all}**"),
    }
}

/// Whether a claim holds in a boot, under each of the plans it is tried under anywhere.
fn held<'a>(tried: &BTreeSet<&str>, claims: impl Iterator<Item = &'a Claim>) -> String {
    let (mut holds, mut fails) = (BTreeSet::new(), BTreeSet::new());
    for claim in claims {
        match claim.outcome {
            Outcome::Holds => holds.insert(claim.mode.as_str()),
            Outcome::Fails => fails.insert(claim.mode.as_str()),
        };
    }
    let under = |modes: BTreeSet<&str>| modes.into_iter().collect::<Vec<_>>().join("`, `");
    if !fails.is_empty() {
        format!("**fails under `{}`**", under(fails))
    } else if holds.is_empty() {
        "-".to_owned()
    } else if holds == *tried {
        "holds".to_owned()
    } else {
        format!("holds under `{}`", under(holds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(boot: Boot, claims: &[(&str, &str, Outcome)]) -> Column {
        let kernel = Kernel {
            name: format!("{}-cloud (1.2-3)", boot.series),
            version: "1.2-3".to_owned(),
            image: PathBuf::new(),
            modules: None,
        };
        let claim = |(mode, claim, outcome): &(&str, &str, Outcome)| Claim {
            mode: (*mode).to_owned(),
            claim: (*claim).to_owned(),
            outcome: *outcome,
        };
        Column { boot, kernel, claims: claims.iter().map(claim).collect() }
    }

    #[test]
    fn the_table_says_what_held_what_failed_and_what_was_not_tried() {
        use Outcome::{Fails, Holds};
        let smp = Boot { name: "6.1-smp2".to_owned(), processors: 2, ..Boot::plain("6.1") };
        let systemd =
            Boot { name: "6.1-systemd".to_owned(), userland: Userland::Systemd, ..Boot::plain("6.1") };
        let columns = [
            column(
                Boot::plain("6.1"),
                &[
                    ("none", "a_start_is_told", Holds),
                    ("kprobe", "an_equal_mtu_opens_nothing", Holds),
                    ("cgroup", "an_equal_mtu_opens_nothing", Fails),
                    ("kprobe", "a_sysctl_is_seen", Holds),
                ],
            ),
            column(smp, &[("kprobe", "an_equal_mtu_opens_nothing", Holds)]),
            column(systemd, &[("systemd", "a_reload_is_one", Holds), ("systemd", "a_stop_is_clean", Fails)]),
        ];
        insta::assert_snapshot!(render(&columns), @r"
        | boot | Linux | with | scenarios that hold |
        |---|---|---|---|
        | 6.1 | 6.1-cloud (1.2-3) |  | **3 of 4** |
        | 6.1-smp2 | 6.1-cloud (1.2-3) | 2 processors | 1 |
        | 6.1-systemd | 6.1-cloud (1.2-3) | Debian's systemd | **1 of 2** |

        How many scenarios of each surface hold under each plan:

        | surface | plan | 6.1 | 6.1-smp2 |
        |---|---|---|---|
        | sysctl | `kprobe` | 1 | - |
        | link | `cgroup` | **0 of 1** | - |
        | link | `kprobe` | 1 | 1 |
        | whatever the surface | `none` | 1 | - |

        Each of them, with the plans it is tried under:

        | claim | plans | 6.1 | 6.1-smp2 |
        |---|---|---|---|
        | a start is told | `none` | holds | - |
        | an equal mtu opens nothing | `cgroup`, `kprobe` | **fails under `cgroup`** | holds under `kprobe` |
        | a sysctl is seen | `kprobe` | holds | - |

        And of the unit as it is packaged, with the programs that a person types:

        | claim | 6.1-systemd |
        |---|---|
        | a reload is one | holds |
        | a stop is clean | **fails under `systemd`** |
        ");
    }

    #[test]
    fn a_table_replaces_the_one_before_and_nothing_else() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replace(&text, "new\n").unwrap(), format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replace("before\nafter\n", "new\n"), None);
    }

    /// The cells of the rows of the committed table.
    fn committed() -> Vec<Vec<String>> {
        let text = fs::read_to_string(path()).unwrap();
        let (_, rest) = text.split_once(BEGIN).expect("the table begins");
        let (table, _) = rest.split_once(END).expect("the table ends");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
        rows.map(|row| row.split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
    }

    #[test]
    fn the_committed_table_has_every_boot_with_its_kernel_and_a_cell_for_each_in_every_row() {
        let matrix = Matrix::read().unwrap();
        let rows = committed();
        let names: Vec<&str> = matrix.boots.iter().map(|boot| boot.name.as_str()).collect();
        let (boots, rest) = rows.split_at(1 + names.len());
        for (boot, row) in matrix.boots.iter().zip(&boots[1..]) {
            assert_eq!((row[0].as_str(), row[2].as_str()), (boot.name.as_str(), boot.how().as_str()));
            let wanted = matrix.kernels.iter().find(|kernel| kernel.series == boot.series).unwrap();
            // The newest one may be of any series, and be one that has not passed yet.
            let version = match wanted.need {
                Need::Required | Need::Offered => format!("({}.", boot.series),
                Need::Newest => "(".to_owned(),
            };
            assert!(row[1].contains(&version), "{row:?} is not of `{version}`");
        }
        let of = |userland| {
            let boots = matrix.boots.iter().filter(move |boot| boot.userland == userland);
            boots.map(|boot| boot.name.as_str()).collect::<Vec<_>>()
        };
        let (bare, units) = (of(Userland::Bare), of(Userland::Systemd));
        let (rest, of_units) = rest.split_at(rest.iter().position(|row| row[1..] == units).unwrap());
        let heads = rest.iter().filter(|row| row[2..] == bare).count();
        assert_eq!(heads, 2, "two tables have a column for each boot");
        assert!(
            rest.len() > 20 && of_units.len() > 10,
            "there are {} and {} rows",
            rest.len(),
            of_units.len()
        );
        for row in rest {
            assert_eq!(row.len(), 2 + bare.len(), "{row:?}");
        }
        for row in of_units {
            assert_eq!(row.len(), 1 + units.len(), "{row:?}");
        }
        // Every plan there is was tried on every kernel that is booted with everything.
        let boots = matrix.boots.iter().filter(|boot| boot.userland == Userland::Bare).enumerate();
        for (index, boot) in boots.filter(|(_, boot)| boot.filter.is_empty()) {
            let sysctl = rest.iter().filter(|row| row[0] == "sysctl");
            assert!(sysctl.clone().count() > 1);
            for row in sysctl {
                assert_ne!(row[2 + index], "-", "{} under {}", boot.name, row[1]);
            }
        }
    }
}
