//! A profile: its sections, merged with those of the profiles it includes.

use std::sync::Arc;

use super::{
    ini::{self, Section, Setting},
    plugins,
    variables::Variables,
};
use crate::{
    declared::{Line, NotUnderstood, Parsed, Says},
    model::{IfAbsent, Source},
};

/// A profile as its file says it.
#[derive(Debug)]
pub struct Profile {
    file: Arc<str>,
    sections: Vec<Section>,
    includes: Vec<Include>,
    not_understood: Vec<NotUnderstood>,
}

/// A profile that another one includes, to be merged before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Its name.
    pub name: String,
    /// Whether it may be missing (`-name`).
    pub optional: bool,
    /// Where it is included.
    pub source: Source,
}

impl Profile {
    /// Reads the file of a profile; `file` is the name it is shown under.
    pub fn parse(file: &Arc<str>, text: &str) -> Profile {
        let (sections, refused) = ini::parse(text);
        let mut profile =
            Profile { file: file.clone(), sections, includes: Vec::new(), not_understood: Vec::new() };
        for ini::Refused { text, line, why } in refused {
            profile.not_understood.push(NotUnderstood::new(profile.at(line), &text, why));
        }
        profile.read_main();
        profile
    }

    /// The profiles it includes, first to last.
    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// Notes that a profile it includes is not there.
    pub fn include_is_missing(&mut self, include: &Include) {
        let why = "no such profile is found; TuneD would refuse this one";
        let text = format!("include={}", include.name);
        self.not_understood.push(NotUnderstood::new(include.source.clone(), &text, why));
    }

    fn at(&self, line: usize) -> Source {
        Source { file: self.file.clone(), line }
    }

    fn read_main(&mut self) {
        // For `include` the variables of this file alone are known.
        let mut variables = Variables::default();
        let own = self.sections.iter().filter(|section| section.name == "variables");
        for setting in own.flat_map(|section| &section.options) {
            // Why it has no value is told where all variables are put in.
            let _ = variables.set(&setting.name, &setting.value);
        }
        let mut includes = Vec::new();
        let mut not_understood = Vec::new();
        let main = self.sections.iter().filter(|section| section.name == "main");
        for setting in main.flat_map(|section| &section.options) {
            let mut refuse = |why: String| {
                not_understood.push(NotUnderstood::new(self.at(setting.line), &shown(setting), why));
            };
            match &*setting.name {
                "summary" | "description" => {}
                "include" => match variables.expand(&setting.value) {
                    // The last one is what `configparser` keeps.
                    Ok(names) => includes = self.included(setting, &names),
                    Err(why) => refuse(why),
                },
                _ => refuse("no option of `[main]` has this name".into()),
            }
        }
        self.includes = includes;
        self.not_understood.extend(not_understood);
    }

    fn included(&self, setting: &Setting, names: &str) -> Vec<Include> {
        let names = names.split([',', ';', '\n']).map(str::trim).filter(|name| !name.is_empty());
        let includes = names.map(|name| Include {
            name: name.trim_start_matches('-').to_owned(),
            optional: name.starts_with('-'),
            source: self.at(setting.line),
        });
        includes.collect()
    }
}

fn shown(setting: &Setting) -> String {
    format!("{}={}", setting.name, setting.value)
}

/// A section merged from several profiles.
#[derive(Default)]
struct Unit {
    name: String,
    plugin: String,
    enabled: bool,
    devices: String,
    /// Which hosts it applies to, where not to all.
    only: Option<String>,
    /// Each option with all that is said of it; the last counts.
    options: Vec<(String, Vec<Said>)>,
    source: Option<Source>,
}

/// What one profile says of an option.
#[derive(Clone)]
struct Said {
    value: String,
    source: Source,
}

/// What profiles declare together, each after those it includes. `from` is the source they belong to.
pub fn declare(from: &Arc<str>, profiles: &[Profile]) -> Parsed {
    let mut parsed = Parsed::default();
    let mut units: Vec<Unit> = Vec::new();
    for profile in profiles {
        parsed.not_understood.extend(profile.not_understood.iter().cloned());
        for section in profile.sections.iter().filter(|section| section.name != "main") {
            merge(profile, section, &mut units, &mut parsed.not_understood);
        }
    }
    let mut variables = Variables::default();
    for unit in units.iter().filter(|unit| unit.name == "variables") {
        set_variables(unit, &mut variables, &mut parsed.not_understood);
    }
    for unit in units.iter().filter(|unit| unit.name != "variables" && unit.enabled) {
        unit_lines(from, unit, &variables, &mut parsed);
    }
    parsed.not_understood.sort_by_key(|told| {
        let profile = profiles.iter().position(|profile| profile.file == told.source.file);
        (profile, told.source.line)
    });
    parsed
}

/// Takes a section into the unit of its name: its options replace those of the same name, one by one, or all of them
/// (`replace`), or some (`drop`).
fn merge(
    profile: &Profile,
    section: &Section,
    units: &mut Vec<Unit>,
    not_understood: &mut Vec<NotUnderstood>,
) {
    let option = |name: &str| {
        let mut all = section.options.iter().rev();
        all.find(|setting| setting.name == name).map(|setting| setting.value.as_str())
    };
    let is_on = |value: &str| ["1", "true", "True"].contains(&value);
    let unit = match units.iter_mut().position(|unit| unit.name == section.name) {
        Some(at) => units.get_mut(at),
        None => {
            units.push(Unit { name: section.name.clone(), ..Unit::default() });
            units.last_mut()
        }
    };
    let Some(unit) = unit else { return };
    if option("replace").is_some_and(is_on) {
        unit.options.clear();
    }
    let dropped = option("drop").unwrap_or_default();
    let dropped: Vec<&str> = dropped.split([',', ';', '\n']).map(str::trim).collect();
    unit.options.retain(|(name, _)| !dropped.contains(&name.as_str()));
    // What is not an option of the plugin is the last section's, given or not.
    unit.plugin = option("type").unwrap_or(&section.name).to_owned();
    unit.enabled = option("enabled").is_none_or(is_on);
    unit.devices = option("devices").unwrap_or("*").to_owned();
    unit.only =
        ["uname_regex", "cpuinfo_regex"].iter().find_map(|name| Some(format!("{name}={}", option(name)?)));
    unit.source = Some(profile.at(section.line));
    for setting in &section.options {
        let name = &*setting.name;
        if plugins::OF_ANY_SECTION.contains(&name) && section.name != "variables" {
            continue;
        }
        let source = profile.at(setting.line);
        if plugins::NOT_HEEDED.contains(&name) && section.name != "variables" {
            not_understood.push(NotUnderstood::new(source, &shown(setting), "this option is not heeded"));
            continue;
        }
        let said = Said { value: setting.value.clone(), source };
        match unit.options.iter_mut().find(|(known, _)| known == name) {
            Some((_, all)) => all.push(said),
            None => unit.options.push((name.to_owned(), vec![said])),
        }
    }
}

fn set_variables(unit: &Unit, variables: &mut Variables, not_understood: &mut Vec<NotUnderstood>) {
    for (name, all) in &unit.options {
        let Some(said) = all.last() else { continue };
        let set = match &**name {
            "include" => Err("a file of variables is not read".into()),
            _ => variables.set(name, &said.value),
        };
        if let Err(why) = set {
            let text = format!("{name}={}", said.value);
            not_understood.push(NotUnderstood::new(said.source.clone(), &text, why));
        }
    }
}

/// The lines of a unit. What a profile said of an option and another one overrode is kept where it is about the same
/// keys.
fn unit_lines(from: &Arc<str>, unit: &Unit, variables: &Variables, parsed: &mut Parsed) {
    if unit.options.is_empty()
        && let Some(source) = &unit.source
        && !plugins::KNOWN.contains(&&*unit.plugin)
    {
        let text = format!("[{}]", unit.name);
        let why = plugins::unknown(&unit.plugin);
        parsed.not_understood.push(NotUnderstood::new(source.clone(), &text, why));
    }
    for (name, all) in &unit.options {
        let read = |said: &Said| match &unit.only {
            Some(only) => Err(format!("the section applies only where `{only}` matches: not evaluated")),
            None => plugins::sets(&unit.plugin, &unit.devices, name, &variables.expand(&said.value)?),
        };
        let sets: Vec<_> = all.iter().map(|said| (said, read(said))).collect();
        let Some((_, last)) = sets.last() else { continue };
        let targets: Vec<_> = last.iter().flatten().map(|(target, _)| target.clone()).collect();
        for (said, sets) in sets {
            let sets = match sets {
                Ok(sets) => sets,
                Err(why) => {
                    let text = format!("{name}={}", said.value);
                    parsed.not_understood.push(NotUnderstood::new(said.source.clone(), &text, why));
                    continue;
                }
            };
            let of_last = sets.into_iter().filter(|(target, _)| targets.contains(target));
            parsed.lines.extend(of_last.map(|(target, expectation)| Line {
                target,
                says: Says::Expect(expectation),
                // TuneD passes over what a host has not.
                if_absent: IfAbsent::Ignore,
                from: from.clone(),
                source: said.source.clone(),
                commit: None,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Expectation;

    /// What profiles say, each after those it includes, a line for each declaration and each line not understood.
    fn said(texts: &[&str]) -> String {
        let profile = |(index, text): (usize, &&str)| Profile::parse(&format!("p{index}").into(), text);
        let profiles: Vec<Profile> = texts.iter().enumerate().map(profile).collect();
        let Parsed { lines, not_understood } = declare(&"tuned".into(), &profiles);
        let lines = lines.iter().map(|line| match &line.says {
            Says::Expect(Expectation::Equal(value)) => format!("{} {} = {value}", line.source, line.target),
            other => format!("{} {} {other:?}", line.source, line.target),
        });
        let not = not_understood.iter().map(ToString::to_string);
        lines.chain(not).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_profile_says_what_it_sets_and_what_is_not_understood() {
        let profile = "\
[main]
summary=A database
include=throughput-performance
static_tuning=1

[variables]
swap=1
cores=${f:calc_isolated_cores:1}

[sysctl]
vm.swappiness=${swap}
kernel.a=${cores}
kernel.b=${none}

[vm]
dirty_bytes=40%

[sysctl.arm]
type=sysctl
uname_regex=aarch64
kernel.numa_balancing=0

[rtentsk]

[bootloader]
cmdline=+quiet

[disk]
enabled=0
elevator=none
no assignment
";
        insta::assert_snapshot!(said(&[profile]), @r"
        p0:11 vm.swappiness = 1
        p0:16 vm.dirty_ratio = 40
        p0:4: `static_tuning=1` is not understood: no option of `[main]` has this name
        p0:8: `cores=${f:calc_isolated_cores:1}` is not understood: the function `f:calc_isolated_cores` asks the host: not evaluated
        p0:12: `kernel.a=${cores}` is not understood: `${cores}` has no value: the function `f:calc_isolated_cores` asks the host: not evaluated
        p0:13: `kernel.b=${none}` is not understood: no variable `none` is set before it
        p0:21: `kernel.numa_balancing=0` is not understood: the section applies only where `uname_regex=aarch64` matches: not evaluated
        p0:23: `[rtentsk]` is not understood: the plugin `rtentsk` is none of sysctl, sysfs, vm, cpu, disk
        p0:26: `cmdline=+quiet` is not understood: the plugin `bootloader` is none of sysctl, sysfs, vm, cpu, disk
        p0:31: `no assignment` is not understood: wanted `name=value`, and TuneD refuses the file
        ");
    }

    #[test]
    fn a_profile_overrides_those_it_includes_option_by_option() {
        let parent =
            "[vm]\ndirty_bytes=40%\ntransparent_hugepages=always\n[sysctl]\nvm.swappiness=10\nkernel.a=1\n";
        let child = "[vm]\ndirty_bytes=536870912\n[sysctl]\nvm.swappiness=3\n";
        insta::assert_snapshot!(said(&[parent, child]), @r"
        p1:2 vm.dirty_bytes = 536870912
        p0:3 /sys/kernel/mm/transparent_hugepage/enabled = always
        p0:5 vm.swappiness = 10
        p1:4 vm.swappiness = 3
        p0:6 kernel.a = 1
        ");
    }

    #[test]
    fn a_section_may_replace_or_drop_what_it_inherits() {
        let parent = "[sysctl]\nkernel.a=1\nkernel.b=2\nkernel.c=3\n";
        let dropping = "[sysctl]\ndrop=kernel.a, kernel.c\nkernel.d=4\n";
        assert_eq!(said(&[parent, dropping]), "p0:3 kernel.b = 2\np1:3 kernel.d = 4");
        let replacing = "[sysctl]\nreplace=1\nkernel.d=4\n";
        assert_eq!(said(&[parent, replacing]), "p1:3 kernel.d = 4");
    }

    #[test]
    fn variables_of_the_last_profile_hold_in_all() {
        let parent = "[variables]\na=1\nb=${a}0\n[sysctl]\nkernel.a=${b}\n";
        assert_eq!(said(&[parent, "[variables]\na=2\n"]), "p0:5 kernel.a = 20");
    }

    #[track_caller]
    fn check_includes(text: &str, wanted: &[&str]) {
        let profile = Profile::parse(&"p".into(), text);
        let names: Vec<String> = profile
            .includes()
            .iter()
            .map(|include| format!("{}{}", if include.optional { "-" } else { "" }, include.name))
            .collect();
        assert_eq!(names, wanted);
    }

    #[test]
    fn included_profiles_are_named_in_order() {
        check_includes("[main]\ninclude=a\n", &["a"]);
        check_includes("[main]\ninclude=a, b;-c\n", &["a", "b", "-c"]);
        check_includes("[main]\ninclude=a-${x}\n[variables]\nx=1\n", &["a-1"]);
        check_includes("[main]\ninclude=${f:virt_check:a:b}\n", &[]);
        check_includes("[sysctl]\ninclude=a\n", &[]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\[[a-z]{0,3}\\]\n|[a-z.]{0,3}=[>$a{}:%0-9]{0,5}\n| \\PC{0,5}\n){0,8}|\\PC{0,40}") {
            said(&[&text, &text]);
        }
    }
}
