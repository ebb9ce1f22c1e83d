//! Judging: observation + declared + now -> findings. Pure; nothing here reads a file or a clock.

mod compare;
mod fight;
mod track;

pub use compare::{
    Judgement, described, described_adopted, expected, judge, judge_adopted, most, settled, wanted,
};
pub use fight::{Fight, Turn, Turns};
pub use track::{State, Step, step};
