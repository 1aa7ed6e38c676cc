//! The two machines, given what an input says: messages of the other side or of nobody, true and
//! changed, in any order; answers, right and wrong; statements made and left out; time.
//!
//! Decides what must hold after every step: nothing is signed without the code that the claimer
//! shows and the greeter's statement; the greeter's code is not shown before the claimer's was
//! found; what has ended stays ended.

use parsec_protocol::enrol::claimer::Claimer;
use parsec_protocol::enrol::greeter::Greeter;
use parsec_protocol::enrol::io::{
    Approval, ClaimerInput, ClaimerOutput, CodeAnswer, GreeterInput, GreeterOutput, Publication,
    SealedEnrolment,
};
use parsec_protocol::enrol::sas::SasCode;
use parsec_protocol::ids::Timestamp;
use parsec_protocol::lab::{Organisation, START, SeededRng};

/// The same for every run.
pub(super) fn org() -> Organisation {
    Organisation::of_seed(u64::MAX).unwrap()
}

thread_local! {
    static ORGANISATION: Organisation = org();
}

/// What has been seen so far.
#[derive(Default)]
struct Seen {
    to_greeter: Vec<(u8, Vec<u8>)>,
    to_claimer: Vec<(u8, Vec<u8>)>,
    claimer_code: Option<SasCode>,
    greeter_code: Option<SasCode>,
    /// The greeter was given the code that the claimer shows.
    found: bool,
    /// The statement was made after that.
    stated: bool,
    published: bool,
    sealed: Option<SealedEnrolment>,
    publication: Option<Publication>,
    claimer_over: bool,
    greeter_over: bool,
}

/// Plays what an input says: two bytes a step, and more where a message is changed.
pub(super) fn play(input: &[u8]) {
    let _ = ORGANISATION.with(|org| run(org, input).published);
}

/// What had been seen in the end.
fn run(org: &Organisation, input: &[u8]) -> Seen {
    let entropy = &mut SeededRng::new(7);
    let mut now = START;
    let secret = Organisation::link_secret;
    let (mut claimer, outputs) = Claimer::start(org.bob(), &secret(), now, entropy).unwrap();
    let (mut greeter, more) = Greeter::start(org.bob(), &secret(), org.root, false, now, entropy).unwrap();
    let mut seen = Seen::default();
    seen.claimer(outputs);
    seen.greeter(more);
    let mut steps = input.chunks_exact(2);
    while let Some([what, how]) = steps.next() {
        let (what, how) = (*what, *how);
        match what % 16 {
            0..=4 => {
                if let Some((step, bytes)) = pick(&seen.to_greeter, how) {
                    let bytes = if what % 16 == 4 { changed(bytes, steps.next()) } else { bytes };
                    greet(&mut greeter, &mut seen, GreeterInput::Message { step, bytes }, now, entropy);
                }
            }
            5..=8 => {
                if let Some((step, bytes)) = pick(&seen.to_claimer, how) {
                    let bytes = if what % 16 == 8 { changed(bytes, steps.next()) } else { bytes };
                    claim(&mut claimer, &mut seen, ClaimerInput::Message { step, bytes }, now, entropy);
                }
            }
            9 => {
                let right = if how % 4 > 0 { seen.claimer_code } else { seen.greeter_code };
                let answer = answer(how, right);
                greet(&mut greeter, &mut seen, GreeterInput::Code(answer), now, entropy);
            }
            10 => {
                let right = if how % 4 > 0 { seen.greeter_code } else { seen.claimer_code };
                claim(&mut claimer, &mut seen, ClaimerInput::Code(answer(how, right)), now, entropy);
            }
            11 => {
                let name = (how % 2 == 0).then(|| "Bob".parse().unwrap());
                let input = ClaimerInput::Identity { name, device_label: "laptop".parse().unwrap() };
                claim(&mut claimer, &mut seen, input, now, entropy);
            }
            12 => {
                let approval = Approval { claimer_confirmed: how % 4 > 0, ..org.approval() };
                seen.stated |= how % 4 > 0;
                greet(&mut greeter, &mut seen, GreeterInput::Approve(approval), now, entropy);
            }
            13 => {
                let mut log = org.envelopes.clone();
                if how % 4 == 0 {
                    log.reverse();
                }
                claim(&mut claimer, &mut seen, ClaimerInput::Log(log), now, entropy);
            }
            14 => claim(&mut claimer, &mut seen, ClaimerInput::Saved, now, entropy),
            _ => {
                now = now.plus_seconds(u64::from(how));
                let stop = how == 255;
                let (one, other) = if stop {
                    (ClaimerInput::Cancel, GreeterInput::Cancel)
                } else {
                    (ClaimerInput::Tick, GreeterInput::Tick)
                };
                claim(&mut claimer, &mut seen, one, now, entropy);
                greet(&mut greeter, &mut seen, other, now, entropy);
            }
        }
    }
    seen
}

/// What an honest ceremony leaves with the greeter.
pub(super) fn honest(org: &Organisation) -> (SealedEnrolment, Publication) {
    let seen = run(org, seeds().last().unwrap());
    (seen.sealed.unwrap(), seen.publication.unwrap())
}

/// One of the messages that were sent, the newest by preference.
fn pick(sent: &[(u8, Vec<u8>)], how: u8) -> Option<(u8, Vec<u8>)> {
    let back = if how < 192 { 0 } else { usize::from(how) % 4 };
    sent.len().checked_sub(1 + back).map(|at| sent[at].clone())
}

fn changed(mut bytes: Vec<u8>, by: Option<&[u8]>) -> Vec<u8> {
    let (at, bit) = by.map_or((0, 0), |by| (usize::from(by[0]), by[1] % 8));
    match bytes.len() {
        0 => {}
        length if at == 255 => bytes.truncate(length / 2),
        length => bytes[at % length] ^= 1 << bit,
    }
    bytes
}

fn answer(how: u8, right: Option<SasCode>) -> CodeAnswer {
    let other: SasCode = "K7EM".parse().unwrap();
    match how % 16 {
        15 => CodeAnswer::NoneFits,
        14 => CodeAnswer::Typed(other),
        13 => CodeAnswer::Picked(other),
        how if how % 2 == 0 => CodeAnswer::Typed(right.unwrap_or(other)),
        _ => CodeAnswer::Picked(right.unwrap_or(other)),
    }
}

fn claim(
    claimer: &mut Claimer,
    seen: &mut Seen,
    input: ClaimerInput,
    now: Timestamp,
    entropy: &mut SeededRng,
) {
    let over = seen.claimer_over;
    if let Ok(outputs) = claimer.step(input, now, entropy) {
        assert!(
            !over || outputs.iter().all(|it| matches!(it, ClaimerOutput::WakeAt(_))),
            "{outputs:?} after the end"
        );
        seen.claimer(outputs);
    }
}

fn greet(
    greeter: &mut Greeter,
    seen: &mut Seen,
    input: GreeterInput<'_>,
    now: Timestamp,
    entropy: &mut SeededRng,
) {
    let over = seen.greeter_over;
    let given = match &input {
        GreeterInput::Code(CodeAnswer::Picked(code) | CodeAnswer::Typed(code)) => {
            seen.claimer_code == Some(*code)
        }
        _ => false,
    };
    if let Ok(outputs) = greeter.step(input, now, entropy) {
        assert!(
            !over || outputs.iter().all(|it| matches!(it, GreeterOutput::WakeAt(_))),
            "{outputs:?} after the end"
        );
        let shows = outputs.iter().any(|it| matches!(it, GreeterOutput::Show(_)));
        assert!(!shows || given, "the greeter's code is shown, and the claimer's was not found");
        seen.found |= shows && given;
        seen.greeter(outputs);
    }
}

impl Seen {
    fn claimer(&mut self, outputs: Vec<ClaimerOutput>) {
        for output in outputs {
            match output {
                ClaimerOutput::Send { step, bytes } => self.to_greeter.push((step, bytes)),
                ClaimerOutput::Show(code) => self.claimer_code = Some(code),
                ClaimerOutput::Keep(_) => {
                    assert!(self.found && self.stated, "keys are certified, and nobody vouched for them");
                }
                ClaimerOutput::Closed(_) | ClaimerOutput::Done => self.claimer_over = true,
                ClaimerOutput::AskCode(_)
                | ClaimerOutput::AskIdentity
                | ClaimerOutput::NeedLog { .. }
                | ClaimerOutput::KeepShare(_)
                | ClaimerOutput::WakeAt(_) => {}
            }
        }
    }

    fn greeter(&mut self, outputs: Vec<GreeterOutput>) {
        for output in outputs {
            match output {
                GreeterOutput::Send { step, bytes } => self.to_claimer.push((step, bytes)),
                GreeterOutput::Show(code) => self.greeter_code = Some(code),
                GreeterOutput::Persist(sealed) => {
                    assert!(self.found && self.stated, "something was signed without code or statement");
                    self.sealed = Some(*sealed);
                }
                GreeterOutput::Publish(publication) => {
                    self.publication = Some(*publication);
                    assert!(self.found && self.stated, "something is published that was never signed");
                    (self.published, self.greeter_over) = (true, true);
                }
                GreeterOutput::Closed(_) => self.greeter_over = true,
                GreeterOutput::AskCode(_)
                | GreeterOutput::AskApproval(_)
                | GreeterOutput::Given(_)
                | GreeterOutput::WakeAt(_) => {}
            }
        }
    }
}

/// Sequences to begin with: an honest ceremony to its end, and its beginnings.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let honest: [[u8; 2]; 14] = [
        [0, 0],
        [5, 0],
        [0, 0],
        [5, 0],
        [0, 0],
        [9, 1],
        [5, 0],
        [10, 1],
        [11, 0],
        [0, 0],
        [12, 1],
        [5, 0],
        [13, 1],
        [14, 0],
    ];
    let whole: Vec<u8> = honest.concat();
    let mut seeds: Vec<_> = (1..=honest.len()).map(|end| whole[..2 * end].to_vec()).collect();
    seeds.push([whole.as_slice(), &[0, 0]].concat());
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The honest one gets to its end, and none of its beginnings: what holds of them says
    /// something.
    #[test]
    fn the_honest_sequence_is_played_to_its_end() {
        let seeds = seeds();
        let (whole, beginnings) = seeds.split_last().unwrap();
        assert!(ORGANISATION.with(|org| run(org, whole).published));
        assert!(beginnings.iter().all(|seed| !ORGANISATION.with(|org| run(org, seed).published)));
    }
}
