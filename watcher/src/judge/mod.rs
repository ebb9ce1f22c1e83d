//! Judging: observation + declared + now -> findings. Pure; nothing here reads a file or a clock.

mod compare;
mod track;

pub use compare::{Judgement, described, expected, judge};
pub use track::{State, Step, step};
