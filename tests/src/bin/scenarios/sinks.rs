//! Sinks outside the host and SIGKILL: what was recorded reaches them, under the id it had.

use driftd_tests::{
    host::Sysctl,
    inbox::{self, Inbox},
    mode::Mode,
};

use crate::{Needs, Scenario, sysctls::home};

const KEY: &str = "vm.swappiness";

pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        claim: "what_a_sink_had_not_confirmed_before_sigkill_it_has_again_under_the_same_id",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: unconfirmed,
    },
    Scenario {
        claim: "what_was_recorded_and_not_sent_before_sigkill_is_sent_after_it_and_once",
        modes: &[Mode::Kprobe, Mode::None],
        needs: Needs::Root,
        run: unsent,
    },
];

fn unconfirmed(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let (home, inbox) = (home(mode, &swappiness), Inbox::open());
    home.tell(&inbox.settings());
    inbox.fall_silent();
    let driftd = home.start();
    swappiness.write(swappiness.other());
    let first = inbox.wait_for(KEY);
    assert_eq!(first.body["data"]["actual"], swappiness.other(), "{first:?}");
    driftd.kill9();

    inbox.answer();
    let mut driftd = home.start();
    assert_eq!(inbox.wait_for(KEY), first, "the same message under the same id");
    swappiness.restore();
    let healed = driftd.wait_for_healed(KEY);
    let posted = inbox.wait_until_healed(KEY);
    let [last] = posted.as_slice() else { panic!("more than that it healed was told: {posted:?}") };
    assert_eq!(last.body["data"]["finding"], healed["finding"]);
    assert_ne!(last.id, first.id);
}

fn unsent(mode: Mode) {
    let swappiness = Sysctl::of(KEY);
    let (home, address) = (home(mode, &swappiness), Inbox::nobody());
    home.tell(&inbox::settings(address));
    let mut driftd = home.start();
    swappiness.write(swappiness.other());
    let recorded = driftd.wait_for_opened(KEY, swappiness.other());
    driftd.kill9();

    let inbox = Inbox::open_at(address);
    let mut driftd = home.start();
    let told = inbox.wait_for(KEY);
    assert_eq!(told.body["data"]["entry"], recorded["entry"], "{told:?}");
    swappiness.restore();
    driftd.wait_for_healed(KEY);
    let ids: Vec<_> = inbox.wait_until_healed(KEY).into_iter().map(|posted| posted.id).collect();
    assert!(!ids.contains(&told.id), "once is enough: {ids:?}");
}
