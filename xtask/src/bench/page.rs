//! docs/benchmarks.md: what was measured, on what, beside what DESIGN wants to be reached. The part below [`KEPT`] is
//! written by people and kept.

use std::{fmt::Write, fs, process::Command};

use anyhow::Result;

use super::Figures;
use crate::process;

/// What stands above the part that people write.
const KEPT: &str = "<!-- What follows is written by hand, and kept by `cargo xtask bench`. -->";

/// How the page begins.
const HEAD: &str = "\
# Benchmarks

Written by `cargo xtask bench`, all of it from one run: medians where nothing else is said, and what is compared was
measured in turns. What is to be reached stands in the design; nothing fails where it is not.

";

/// Where it was measured.
pub struct Machine {
    plan: String,
    /// What else there is to know, one a line of the page.
    pub facts: Vec<String>,
}

impl Machine {
    /// The machine that this runs on, as it is now.
    pub fn this(plan: &str) -> Result<Machine> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
            line.map_or("unknown".to_owned(), |value| value.trim().to_owned())
        };
        let cpus = read("/proc/cpuinfo");
        let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
        let mut git = Command::new("git");
        git.current_dir(crate::root()).args(["describe", "--always", "--dirty"]);
        let mut stat = Command::new("stat");
        stat.args(["--file-system", "--format=%T"]).arg(crate::target());
        let said = |command: &mut Command| {
            process::output(command).map_or("unknown".to_owned(), |text| text.trim().to_owned())
        };
        Ok(Machine {
            plan: plan.to_owned(),
            facts: vec![
                format!(
                    "{count} x {}, {} of memory",
                    field(&cpus, "model name"),
                    field(&read("/proc/meminfo"), "MemTotal")
                ),
                format!(
                    "Linux {}, the store on {}",
                    read("/proc/sys/kernel/osrelease").trim(),
                    said(&mut stat)
                ),
                format!(
                    "driftd of commit {}, release build, {}",
                    said(&mut git),
                    said(Command::new("rustc").arg("--version"))
                ),
                format!("load average before: {}", read("/proc/loadavg").trim()),
                said(Command::new("date").args(["--utc", "+%F %H:%M UTC"])),
            ],
        })
    }
}

/// One line of a table.
struct Row {
    what: String,
    measured: String,
    /// What is to be reached, and whether it is.
    reach: Option<(String, bool)>,
}

impl Row {
    fn plain(what: impl Into<String>, measured: String) -> Row {
        Row { what: what.into(), measured, reach: None }
    }

    fn reach(what: impl Into<String>, measured: String, reach: impl Into<String>, is: bool) -> Row {
        Row { what: what.into(), measured, reach: Some((reach.into(), is)) }
    }
}

/// The page, but for what people write.
pub fn page(machine: &Machine, here: &Figures, guest: &Figures) -> String {
    let plan = &machine.plan;
    let mut text = HEAD.to_owned();
    for fact in &machine.facts {
        let _ = writeln!(text, "- {fact}");
    }
    text += &table(&format!("On this kernel, with the plan `{plan}`"), &native(plan, here));
    text +=
        &table("What a write costs, in the VM (emulated: only the ratios mean anything)", &cost(guest, None));
    text
}

/// The page with the part of an earlier one that people wrote.
pub fn with_kept(text: &str, earlier: &str) -> String {
    let kept = earlier.split_once(KEPT).map_or("\n", |(_, kept)| kept);
    format!("{text}\n{KEPT}{kept}")
}

fn table(title: &str, rows: &[Row]) -> String {
    let mut text = format!("\n## {title}\n\n");
    if rows.is_empty() {
        text += "Not measured in this run.\n";
        return text;
    }
    text += "| what | measured | to be reached | reached |\n|---|---|---|---|\n";
    for Row { what, measured, reach } in rows {
        let (reach, is) = match reach {
            Some((reach, true)) => (reach.as_str(), "yes"),
            Some((reach, false)) => (reach.as_str(), "**no**"),
            None => ("", ""),
        };
        let _ = writeln!(text, "| {what} | {measured} | {reach} | {is} |");
    }
    text
}

/// The rows of this kernel: those whose figures are there.
fn native(plan: &str, figures: &Figures) -> Vec<Row> {
    let sweep = format!("sweep.{plan}");
    let groups = [
        latency(figures),
        revert(figures),
        Some(cost(figures, Some(1.3))),
        idle(figures),
        swept(figures, "many", "a sweep of", "many").map(|row| vec![row]),
        swept(figures, "sweep.none", "a sweep of all readable keys of /proc/sys,", "none")
            .map(|row| vec![row]),
        swept(figures, &sweep, "the same under this plan,", "plan").map(|row| vec![row]),
        deliver(figures),
        door(figures),
        burst(figures, "burst"),
        burst(figures, "flood"),
        start(figures),
        load(figures),
        day(figures),
        ask(figures),
    ];
    groups.into_iter().flatten().flatten().collect()
}

fn latency(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(&format!("latency.{name}")).copied();
    let (p50, p99) = (get("p50_ns")?, get("p99_ns")?);
    Some(vec![
        Row::reach(
            "from the return of a write to its recorded change, read from the store",
            format!(
                "p50 {}, p99 {}, most {} of {}",
                time(p50),
                time(p99),
                time(get("max_ns")?),
                get("samples")?
            ),
            "p50 1 ms, p99 5 ms",
            p50 <= 1e6 && p99 <= 5e6,
        ),
        Row::plain(
            "from the return of a write to the line that tells it",
            format!("p50 {}, p99 {}", time(get("told_p50_ns")?), time(get("told_p99_ns")?)),
        ),
    ])
}

fn revert(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(&format!("revert.{name}")).copied();
    let (p50, p99, whole) = (get("p50_ns")?, get("p99_ns")?, get("written_p50_ns")?);
    let measured = format!("p50 {}, p99 {}; p50 {}", time(p50), time(p99), time(whole));
    let what = "from a finding to the value put back; and from the write that departs, where nothing settles";
    Some(vec![Row::reach(what, measured, "p99 10 ms", p99 <= 10e6)])
}

/// The rows of one open+write+close, in each state that was measured; the ratio that watching is to stay below.
fn cost(figures: &Figures, most: Option<f64>) -> Vec<Row> {
    let get = |state: &str, kind: &str| figures.get(&format!("cost.{state}.{kind}_ns")).copied();
    let (Some(median), Some(mean)) = (get("unwatched", "median"), get("unwatched", "mean")) else {
        return Vec::new();
    };
    let mut rows = vec![Row::plain(
        "one open+write+close of a sysctl, unwatched",
        format!("{} (mean {})", time(median), time(mean)),
    )];
    let states = figures.keys().filter_map(|name| name.strip_prefix("cost.")?.strip_suffix(".median_ns"));
    for state in states.filter(|state| *state != "unwatched") {
        let (Some(own), Some(own_mean)) = (get(state, "median"), get(state, "mean")) else { continue };
        let ratio = own / median;
        let measured =
            format!("{} (mean {}): {ratio:.2}x (mean {:.2}x)", time(own), time(own_mean), own_mean / mean);
        rows.push(match state.split_once('.') {
            Some((plan, declared)) => {
                let what = format!("the same, watched by `{plan}`, of a key that is {declared}");
                let reach = most.map(|most| (format!("{most}x"), ratio <= most));
                Row { what, measured, reach }
            }
            None => Row::plain("the same under an audit path watch", measured),
        });
    }
    rows
}

fn idle(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(&format!("idle.{name}")).copied();
    let over = format!("{} keys declared, nothing happens for {:.0} s", get("keys")?, get("seconds")?);
    let (rss, cpu, wakeups) = (get("rss_kib")?, get("cpu_percent")?, get("wakeups_per_s")?);
    let (anon, file) = (get("rss_anon_kib")?, get("rss_file_kib")?);
    Some(vec![
        Row::reach(
            format!("{over}: resident"),
            format!("{}, of it its own {}, of files {}", kib(rss), kib(anon), kib(file)),
            "10 MiB",
            rss <= 10.0 * 1024.0,
        ),
        Row::reach("the same: processor", format!("{cpu:.4} % of a core"), "0.02 %", cpu < 0.02),
        Row::reach("the same: wake-ups", format!("{wakeups:.2} a second"), "1 a second", wakeups <= 1.0),
    ])
}

fn swept(figures: &Figures, name: &str, what: &str, kind: &str) -> Option<Row> {
    let get = |figure: &str| figures.get(&format!("{name}.{figure}")).copied();
    let ratio = get("ratio")?;
    let of = match kind {
        "many" => format!("{} keys (a network namespace of {} interfaces)", get("keys")?, get("interfaces")?),
        _ => format!("{} of them", get("keys")?),
    };
    let times = format!("{} beside {}", time(get("sweep_ns")?), time(get("bare_ns")?));
    Some(Row::reach(
        format!("{what} {of}, beside a bare loop of pread in C"),
        format!("{times}: {ratio:.2}x"),
        "1.5x",
        ratio <= 1.5,
    ))
}

fn deliver(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(&format!("deliver.{name}")).copied();
    let p99 = get("p99_ns")?;
    Some(vec![Row::reach(
        format!("from a webhook to its verdict, {} keys", get("keys")?),
        format!("p50 {}, p99 {}", time(get("p50_ns")?), time(p99)),
        "20 ms",
        p99 <= 20e6,
    )])
}

fn door(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(&format!("door.{name}")).copied();
    let ours = get("rate_per_s")?;
    let mut rows = vec![Row::plain(
        format!(
            "signed deliveries a second, {} senders at once, each durable before its answer",
            get("senders")?
        ),
        format!("{ours:.0}"),
    )];
    if let (Some(done), Some(ratio)) = (get("webhook_done_per_s"), get("done_ratio")) {
        rows.push(Row::reach(
            "the same of Debian's `webhook`, which answers when the program it starts has ended",
            format!("{done:.0}: driftd takes {ratio:.2}x"),
            "3x",
            ratio >= 3.0,
        ));
    }
    if let (Some(answered), Some(ratio)) = (get("webhook_answered_per_s"), get("answered_ratio")) {
        rows.push(Row::plain(
            "the same where it answers first, and starts its program later",
            format!("{answered:.0}: driftd takes {ratio:.2}x"),
        ));
    }
    let (idle, alone) = (get("idle_connections")?, get("alone_p50_ns")?);
    let (p50, p99) = (get("beside_idle_p50_ns")?, get("beside_idle_p99_ns")?);
    rows.push(Row::plain(
        format!("one delivery alone, and beside {idle} idle connections"),
        format!("p50 {}; p50 {}, p99 {}", time(alone), time(p50), time(p99)),
    ));
    Some(rows)
}

fn burst(figures: &Figures, name: &str) -> Option<Vec<Row>> {
    let get = |figure: &str| figures.get(&format!("{name}.{figure}")).copied();
    let (writes, confirmed, lost) = (get("writes")?, get("confirmed")?, get("lost")?);
    let (opened, peak) = (get("opened_ns")?, get("peak_rss_kib")?);
    let what = format!("{writes} writes in {}", time(get("wrote_ns")?));
    Some(vec![
        Row::reach(
            format!("{what}: accounted for"),
            format!("{confirmed} confirmed in {} entries, {lost} counted as lost", get("entries")?),
            "every one",
            confirmed + lost >= writes,
        ),
        Row::reach(
            "the same: from the last write to its change, and to its finding (settles for 100 ms)",
            format!("{}, {}", time(get("changed_ns")?), time(opened)),
            "1 s",
            opened <= 1e9,
        ),
        Row::plain(
            "the same: resident before, and the most",
            format!("{}, {}", kib(get("rss_kib")?), kib(peak)),
        ),
    ])
}

fn start(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(name).copied();
    let (swept, ended) = (get("start.swept_ns")?, get("stop.ended_ns")?);
    Some(vec![
        Row::reach(
            format!("from the start to all attached and {} keys swept", get("start.keys")?),
            time(swept),
            "200 ms",
            swept <= 2e8,
        ),
        Row::reach(
            "from SIGTERM to the end, and to no program left in the kernel",
            format!("{}, {}", time(ended), time(get("stop.gone_ns")?)),
            "200 ms",
            ended <= 2e8,
        ),
    ])
}

fn load(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(&format!("load.{name}")).copied();
    let many = get("many_ns")?;
    Some(vec![Row::reach(
        format!("`driftd config check` over {} rules, from its start to its end; over one", get("rules")?),
        format!("{}; {}", time(many), time(get("one_ns")?)),
        "100 ms",
        many <= 1e8,
    )])
}

fn day(figures: &Figures) -> Option<Vec<Row>> {
    let get = |name: &str| figures.get(&format!("day.{name}")).copied();
    let size = get("kib")?;
    Some(vec![Row::reach(
        format!(
            "the store after {} findings that healed, with {} deployments",
            get("findings")?,
            get("deployments")?
        ),
        format!("{} of {} entries", kib(size), get("entries")?),
        "50 MB",
        size <= 50e6 / 1024.0,
    )])
}

/// The commands that read the store: the slowest says whether it is reached.
fn ask(figures: &Figures) -> Option<Vec<Row>> {
    let entries = figures.get("ask.entries")?;
    let asked = figures
        .iter()
        .filter_map(|(name, took)| Some((name.strip_prefix("ask.")?.strip_suffix("_ns")?, *took)));
    let asked: Vec<_> = asked.collect();
    let slowest = asked.iter().map(|(_, took)| *took).fold(0.0, f64::max);
    let each: Vec<_> = asked.iter().map(|(name, took)| format!("{name} {}", time(*took))).collect();
    Some(vec![Row::reach(
        format!("a command of driftd over {entries} entries, from its start to its end"),
        each.join(", "),
        "50 ms",
        slowest <= 50e6,
    )])
}

/// A time as people read it: three digits and a unit.
fn time(nanos: f64) -> String {
    let (value, unit) = match nanos {
        nanos if nanos < 1e3 => (nanos, "ns"),
        nanos if nanos < 1e6 => (nanos / 1e3, "us"),
        nanos if nanos < 1e9 => (nanos / 1e6, "ms"),
        nanos => (nanos / 1e9, "s"),
    };
    match value {
        value if value < 10.0 => format!("{value:.2} {unit}"),
        value if value < 100.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

/// A size as people read it.
fn kib(kib: f64) -> String {
    format!("{:.1} MiB", kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_and_its_unit() {
        for (nanos, wanted) in [
            (7.0, "7.00 ns"),
            (3_776.0, "3.78 us"),
            (870_287.0, "870 us"),
            (41_920_832.0, "41.9 ms"),
            (61e9, "61.0 s"),
        ] {
            assert_eq!(time(nanos), wanted);
        }
    }

    #[test]
    fn what_is_not_reached_is_said_and_what_was_not_measured_is_left_out() {
        let figures: Figures = [
            ("cost.unwatched.median_ns", 4000.0),
            ("cost.unwatched.mean_ns", 4100.0),
            ("cost.cgroup.declared.median_ns", 6000.0),
            ("cost.cgroup.declared.mean_ns", 8200.0),
            ("cost.cgroup.undeclared.median_ns", 4800.0),
            ("cost.cgroup.undeclared.mean_ns", 4920.0),
            ("cost.audit.median_ns", 36000.0),
            ("cost.audit.mean_ns", 41000.0),
            ("deliver.keys", 200.0),
            ("deliver.p50_ns", 1_100_000.0),
            ("deliver.p99_ns", 1_600_000.0),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let text = table("here", &native("cgroup", &figures));
        let rows: Vec<&str> = text.lines().skip(5).collect();
        assert_eq!(
            rows,
            [
                "| one open+write+close of a sysctl, unwatched | 4.00 us (mean 4.10 us) |  |  |",
                "| the same under an audit path watch | 36.0 us (mean 41.0 us): 9.00x (mean 10.00x) |  |  |",
                "| the same, watched by `cgroup`, of a key that is declared | 6.00 us (mean 8.20 us): 1.50x (mean 2.00x) | 1.3x | **no** |",
                "| the same, watched by `cgroup`, of a key that is undeclared | 4.80 us (mean 4.92 us): 1.20x (mean 1.20x) | 1.3x | yes |",
                "| from a webhook to its verdict, 200 keys | p50 1.10 ms, p99 1.60 ms | 20 ms | yes |",
            ]
        );
    }

    #[test]
    fn what_people_wrote_is_kept() {
        let first = with_kept("numbers\n", "");
        let edited = format!("{first}\n## Why not\n\nBecause.\n");
        let second = with_kept("other numbers\n", &edited);
        assert_eq!(second, format!("other numbers\n\n{KEPT}\n\n## Why not\n\nBecause.\n"));
        assert_eq!(with_kept("other numbers\n", &second), second);
    }
}
