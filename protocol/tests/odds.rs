//! The game of the codes, solved exactly for short codes: what the one in the middle can win with
//! unlimited computing and the best moves.
//!
//! Decides what the game is: who is bound to what before whom sees what, as in docs/protocol.md,
//! *The ceremony*. What the numbers of docs/known-limits.md rest on is derived here and nowhere
//! assumed. Codes are taken to be as good as random: that HMAC-SHA256 makes them so is not shown by
//! this.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

/// A fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Odds(u128, u128);

impl Odds {
    fn new(part: u128, whole: u128) -> Self {
        let (mut a, mut b) = (part, whole);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Self(part / a, whole / a)
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.0 * other.1 + other.0 * self.1, self.1 * other.1)
    }

    fn times(self, other: Self) -> Self {
        Self::new(self.0 * other.0, self.1 * other.1)
    }

    fn at_least(self, other: Self) -> bool {
        self.0 * other.1 >= other.0 * self.1
    }

    fn as_number(self) -> f64 {
        self.0 as f64 / self.1 as f64
    }
}

/// A position of the game, with all that can follow.
enum Position {
    /// Chance moves, each way alike.
    Chance(Vec<Position>),
    /// The attacker moves, and knows everything that came before.
    Attacker(Vec<Position>),
    /// The end: whether the attacker has a certificate.
    End(bool),
}

impl Position {
    /// What the best moves win.
    fn odds(&self) -> Odds {
        match self {
            Self::End(won) => Odds::new(u128::from(*won), 1),
            Self::Attacker(moves) => moves
                .iter()
                .map(Self::odds)
                .reduce(|best, one| if one.at_least(best) { one } else { best })
                .unwrap(),
            Self::Chance(ways) => {
                let sum = ways.iter().map(Self::odds).fold(Odds::new(0, 1), Odds::plus);
                sum.times(Odds::new(1, ways.len() as u128))
            }
        }
    }
}

fn chance(ways: u32, then: impl Fn(u32) -> Position) -> Position {
    Position::Chance((0..ways).map(then).collect())
}

fn attacker(moves: u32, then: impl Fn(u32) -> Position) -> Position {
    Position::Attacker((0..moves).map(then).collect())
}

/// What the attacker can vary before it sees what it needs: any number of ways is worth as much as
/// two.
const BLIND_MOVES: u32 = 2;

/// Which of the two codes both people compare.
#[derive(Clone, Copy)]
enum Compared {
    Both,
    /// The greeter signs without having heard that the other code was found; or one of the two
    /// doesn't listen.
    One,
}

fn won(first: (u32, u32), second: (u32, u32), compared: Compared) -> Position {
    Position::End(match compared {
        Compared::Both => first.0 == first.1 && second.0 == second.1,
        Compared::One => first.0 == first.1,
    })
}

/// The ceremony as it is: the attacker's number for the greeter is bound before the greeter's is
/// seen, and the claimer's number comes out only after the attacker has given it one. `codes` is
/// how many values each of the two codes has.
fn committed(codes: u32, compared: Compared) -> Position {
    attacker(BLIND_MOVES, |_| {
        chance(codes, |g1| {
            chance(codes, |g2| {
                attacker(BLIND_MOVES, |_| {
                    chance(codes, |c1| chance(codes, |c2| won((g1, c1), (g2, c2), compared)))
                })
            })
        })
    })
}

/// Without the commitment, or with one that nobody checks: everybody's number is known before the
/// attacker's for the greeter is chosen, and unlimited computing finds one for every pair of codes.
fn uncommitted(codes: u32) -> Position {
    chance(codes, |c1| {
        chance(codes, |c2| {
            attacker(codes, |g1| attacker(codes, |g2| won((g1, c1), (g2, c2), Compared::Both)))
        })
    })
}

/// People who pick one of four without having listened.
fn blind_picks(sides: u32) -> Position {
    let right = |picked: u32| Position::End(picked == 0);
    match sides {
        1 => chance(4, right),
        _ => chance(4, |first| if first == 0 { chance(4, right) } else { Position::End(false) }),
    }
}

/// At least once in so many attempts.
fn in_attempts(one: Odds, attempts: u32) -> f64 {
    1.0 - (0..attempts).fold(1.0, |missed, _| missed * (1.0 - one.as_number()))
}

#[test]
fn the_code_game_is_worth_its_bits() {
    let mut solved = 0;
    for bits in 1..=4 {
        let codes = 1 << bits;
        let all = Odds::new(1, 1 << (2 * bits));
        assert_eq!(committed(codes, Compared::Both).odds(), all, "{bits} bits each");
        assert_eq!(
            committed(codes, Compared::One).odds(),
            Odds::new(1, 1 << bits),
            "{bits} bits, one compared"
        );
        // The mutant: the solver sees an attack where there is one.
        assert_eq!(uncommitted(codes).odds(), Odds::new(1, 1), "{bits} bits, not bound");
        solved += 3;
    }
    assert_eq!(blind_picks(1).odds(), Odds::new(1, 4));
    // Where one types what is heard and the other was brought to pick: 20 bits guessed, then one of
    // four.
    let typed = committed(2, Compared::One).odds().as_number().powi(20) * blind_picks(1).odds().as_number();
    assert!((typed.recip() - 4_194_304.0).abs() < 0.5);
    let both = blind_picks(2).odds();
    assert_eq!(both, Odds::new(1, 16));
    // docs/known-limits.md, the table.
    assert!((in_attempts(both, 3) - 0.176).abs() < 0.001);
    assert!((in_attempts(both, 5) - 0.276).abs() < 0.001);
    assert!(in_attempts(both, 10) < 0.5 && in_attempts(both, 11) > 0.5);
    println!(
        "figure M16: {solved} games solved exactly, codes of 1 to 4 bits: 2^-2b as it is, 2^-b with one code compared, 1 without the \
         commitment; blind picks 1/16, {:.1} % in 5 attempts",
        100.0 * in_attempts(both, 5)
    );
}
