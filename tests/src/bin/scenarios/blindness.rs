//! What blinds the programs in the kernel is told, and drift is found all the same.

use std::{fs, io, path::Path};

use driftd_tests::{
    daemon::{Home, Settings, expect},
    host::Sysctl,
    mode::Mode,
};

use crate::{Needs, Scenario};

/// The claims.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "ftrace_enabled_0_is_told_as_blindness_at_once_and_the_sweep_still_finds_drift",
        modes: &Mode::HOOKS,
        needs: Needs::Vm,
        run: ftrace_switched_off,
    },
    Scenario {
        claim: "kprobes_switched_off_in_debugfs_are_told_as_blindness_and_the_sweep_still_finds_drift",
        modes: &[Mode::Kprobe],
        needs: Needs::Vm,
        run: kprobes_switched_off,
    },
    Scenario {
        claim: "what_switches_kprobes_off_leaves_fexit_seeing",
        modes: &[Mode::Fexit],
        needs: Needs::Vm,
        run: fexit_sees_on,
    },
    Scenario {
        claim: "while_ftrace_enabled_is_0_the_hook_is_refused_with_the_cure",
        modes: &Mode::HOOKS,
        needs: Needs::Vm,
        run: refused_while_off,
    },
];

/// The switch of debugfs; our PID 1 mounts that.
const KPROBES: &str = "/sys/kernel/debug/kprobes/enabled";

fn home(mode: Mode, swappiness: &Sysctl) -> Home {
    let rules = [expect("swappiness", "vm.swappiness", &swappiness.original)];
    Home::new(mode, &Settings { sweep: Some("2s"), ..Settings::rules(&rules) })
}

/// A switch that is on again with the value, whatever becomes of the scenario.
struct Off(&'static Path);

impl Off {
    /// `None` where the kernel does not let it be switched off: 5.10 refuses it while fexit is attached (EBUSY), and 7.3
    /// knows only one way for `kernel.ftrace_enabled` any more (EOPNOTSUPP).
    fn switch(path: &'static str) -> Option<Off> {
        let path = Path::new(path);
        match fs::write(path, "0") {
            Ok(()) => Some(Off(path)),
            Err(error)
                if [io::ErrorKind::ResourceBusy, io::ErrorKind::Unsupported].contains(&error.kind()) =>
            {
                None
            }
            Err(error) => panic!("cannot switch {path:?} off: {error}"),
        }
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        let _ = fs::write(self.0, "1");
    }
}

fn is_blind(line: &serde_json::Value, why: &str) -> bool {
    line["kind"] == "loss"
        && line["what"].as_str().is_some_and(|what| what.contains("blind: ") && what.contains(why))
}

/// Blinds driftd by a switch, and sees that it says so, finds drift, says that it sees again, and names writers then.
fn goes_blind_and_sees_again(mode: Mode, switch: &'static str, why: &str) {
    let swappiness = Sysctl::of("vm.swappiness");
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let Some(off) = Off::switch(switch) else {
        // Nobody can blind it, so it must see.
        swappiness.write("61");
        assert_eq!(driftd.wait_for_opened("vm.swappiness", "61")["seen_by"], mode.as_str());
        return;
    };
    driftd.wait_for("the blindness", |line| is_blind(line, why));
    let status = String::from_utf8_lossy(&home.command(&["status"]).stdout).into_owned();
    assert!(status.contains("blind: "), "{status}");
    swappiness.write("61");
    driftd.wait_for_opened("vm.swappiness", "61");
    swappiness.restore();
    driftd.wait_for_healed("vm.swappiness");
    driftd.mark();
    drop(off);
    driftd.wait_for("the end of the blindness", |line| {
        line["kind"] == "loss" && line["what"].as_str().is_some_and(|what| what.contains("see again"))
    });
    swappiness.write("61");
    assert_eq!(driftd.wait_for_opened("vm.swappiness", "61")["seen_by"], mode.as_str());
}

fn ftrace_switched_off(mode: Mode) {
    goes_blind_and_sees_again(mode, "/proc/sys/kernel/ftrace_enabled", "kernel.ftrace_enabled is 0");
}

fn kprobes_switched_off(mode: Mode) {
    goes_blind_and_sees_again(mode, KPROBES, "`kprobes/enabled` of debugfs is 0");
}

fn fexit_sees_on(mode: Mode) {
    let swappiness = Sysctl::of("vm.swappiness");
    let home = home(mode, &swappiness);
    let mut driftd = home.start();
    let _off = Off::switch(KPROBES);
    swappiness.write("61");
    assert_eq!(driftd.wait_for_opened("vm.swappiness", "61")["seen_by"], "fexit");
}

fn refused_while_off(mode: Mode) {
    let swappiness = Sysctl::of("vm.swappiness");
    let home = home(mode, &swappiness);
    let Some(_off) = Off::switch("/proc/sys/kernel/ftrace_enabled") else {
        // A kernel that cannot be blinded so has no such case: the hook is there.
        drop(home.start());
        return;
    };
    let output = home.command(&["run"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    for wanted in ["kernel.ftrace_enabled is 0", "hint: `sysctl -w kernel.ftrace_enabled=1`"] {
        assert!(said.contains(wanted), "{said}");
    }
}
