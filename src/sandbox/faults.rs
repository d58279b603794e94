//! Faults on demand: the nemesis list of the style guide, one arm each.
//!
//! A fault says *what* happens ([`Kind`]) and *when* ([`When`]). The first armed fault that fits a request is played.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::wire::Ask;

/// What a throttled answer says about waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// `Retry-After: 7`
    Seconds(u32),
    /// `Retry-After: Wed, 21 Oct 2026 07:28:00 GMT`, this many seconds from the tool's now.
    Date(u32),
    /// No such header.
    Absent,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// 429 with the vendor's body; nothing is applied.
    Throttle(Retry),
    /// 500; nothing is applied.
    ServerError,
    /// 502 after the write was applied.
    BadGatewayAfter,
    /// The socket closes without an answer, before the write.
    ResetBefore,
    /// The socket closes without an answer, after the write.
    ResetAfter,
    /// The body ends in the middle; `Content-Length` agrees with what was sent. The write was applied.
    CutJson,
    /// The body ends in the middle of what `Content-Length` promised. The write was applied.
    ResetMidBody,
    /// Status 200 and the vendor's error body; nothing is applied.
    ErrorIn200,
    /// Status 200 and an HTML login page; nothing is applied.
    LoginPage,
    /// 301 to the page where people log in; nothing is applied (H1.19).
    Redirect,
    /// 403 and an HTML page, as who asked too fast for too long gets it (VENDORS.md B2.8); nothing is applied.
    BlockPage,
    /// 401 with a token that was good a moment ago.
    Unauthorized,
    /// The day's quota is used up, as 403 or 429 (HubSpot: 429 with `policyName` `DAILY`, VENDORS.md A1.8).
    DailyQuota {
        /// The status to answer with.
        status: u16,
    },
    /// The rows of the last page come once more; the token of this page comes again in another spelling, so nothing is skipped.
    DuplicatePage,
    /// The next token is the token that was asked for: reading does not advance.
    RepeatedCursor,
    /// No rows, and yet a next token; it leads to the rows that are missing here.
    EmptyPage,
    /// The last row of the page and the first of the next have one time stamp.
    EqualEdge,
    /// The tool's clock is off for this request, in the stamps it writes and in `Date`.
    ClockSkew {
        /// How much; negative is late.
        ms: i64,
    },
    /// The e-mail of the first row is an object instead of a string (or list).
    TypeChange,
    /// The body drips, a few bytes at a time.
    SlowDrip {
        /// Bytes per drop.
        bytes: usize,
        /// Milliseconds between drops.
        pause_ms: u64,
    },
    /// The right body, with this many bytes of padding as its first member.
    HugeBody {
        /// Size of the padding; the nemesis list says 50 MB.
        bytes: usize,
    },
    /// 429: too many jobs wait already (VENDORS.md C1.6); nothing is applied.
    TooManyJobs,
    /// A job is said to be `queued`, whatever became of it (H1.8).
    StuckJob,
    /// HubSpot's search index is late by this much, for this request (VENDORS.md A1.4).
    IndexLag {
        /// How late.
        ms: i64,
    },
    /// The answer comes after this long; the write happens at once when `applied`, else only after the wait.
    Hold {
        /// How long.
        ms: u64,
        /// Whether the write is applied before the wait.
        applied: bool,
    },
}

impl Kind {
    /// The name in the request log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Throttle(_) => "throttle",
            Self::ServerError => "server_error",
            Self::BadGatewayAfter => "bad_gateway_after",
            Self::ResetBefore => "reset_before",
            Self::ResetAfter => "reset_after",
            Self::CutJson => "cut_json",
            Self::ResetMidBody => "reset_mid_body",
            Self::ErrorIn200 => "error_in_200",
            Self::LoginPage => "login_page",
            Self::Redirect => "redirect",
            Self::BlockPage => "block_page",
            Self::Unauthorized => "unauthorized",
            Self::DailyQuota { .. } => "daily_quota",
            Self::DuplicatePage => "duplicate_page",
            Self::RepeatedCursor => "repeated_cursor",
            Self::EmptyPage => "empty_page",
            Self::EqualEdge => "equal_edge",
            Self::ClockSkew { .. } => "clock_skew",
            Self::TypeChange => "type_change",
            Self::SlowDrip { .. } => "slow_drip",
            Self::HugeBody { .. } => "huge_body",
            Self::TooManyJobs => "too_many_jobs",
            Self::StuckJob => "stuck_job",
            Self::IndexLag { .. } => "index_lag",
            Self::Hold { .. } => "hold",
        }
    }
}

/// Which requests a fault meets. Everything that is set must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct When {
    /// From the n-th fitting request on, counted from 1.
    pub nth: u32,
    /// How often at most; `u32::MAX` is without end.
    pub count: u32,
    /// With this probability, drawn from this seed.
    pub chance: Option<(f64, u64)>,
    /// The path begins so.
    pub path: Option<String>,
    /// The method is this.
    pub method: Option<String>,
}

/// A fault and its occasion.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What happens.
    pub kind: Kind,
    /// When it happens.
    pub when: When,
}

impl Fault {
    /// The next request of any kind, once.
    #[must_use]
    pub fn once(kind: Kind) -> Self {
        Self {
            kind,
            when: When {
                nth: 1,
                count: 1,
                chance: None,
                path: None,
                method: None,
            },
        }
    }

    /// From the n-th fitting request on.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.when.nth = nth.max(1);
        self
    }

    /// At most so often.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.when.count = count;
        self
    }

    /// With a probability between 0 and 1, reproducible by its seed; without an end unless [`Fault::times`] follows.
    #[must_use]
    pub fn chance(mut self, probability: f64, seed: u64) -> Self {
        self.when.chance = Some((probability.clamp(0.0, 1.0), seed));
        self.when.count = u32::MAX;
        self
    }

    /// Only paths that begin so.
    #[must_use]
    pub fn path(mut self, prefix: &str) -> Self {
        self.when.path = Some(prefix.to_owned());
        self
    }

    /// Only this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.when.method = Some(method.to_uppercase());
        self
    }
}

/// A fault that waits for its request.
struct Armed {
    fault: Fault,
    seen: u32,
    played: u32,
    rng: ChaCha8Rng,
}

/// The armed faults of one tool.
#[derive(Default)]
pub(super) struct Nemesis {
    armed: Vec<Armed>,
}

impl Nemesis {
    pub(super) fn arm(&mut self, faults: Vec<Fault>) {
        self.armed = faults
            .into_iter()
            .map(|fault| {
                let seed = fault.when.chance.map_or(0, |(_, seed)| seed);
                Armed {
                    fault,
                    seen: 0,
                    played: 0,
                    rng: ChaCha8Rng::seed_from_u64(seed),
                }
            })
            .collect();
    }

    pub(super) fn pick(&mut self, ask: &Ask) -> Option<Kind> {
        self.armed.iter_mut().find_map(|armed| armed.meets(ask))
    }
}

impl Armed {
    fn meets(&mut self, ask: &Ask) -> Option<Kind> {
        let when = &self.fault.when;
        let fits = when
            .path
            .as_ref()
            .is_none_or(|prefix| ask.path.starts_with(prefix.as_str()))
            && when.method.as_ref().is_none_or(|method| *method == ask.method);
        if !fits || self.played >= when.count {
            return None;
        }
        self.seen += 1;
        // The draw comes before the other conditions, so that the n-th request always sees the n-th number.
        let drawn = when
            .chance
            .is_none_or(|(probability, _)| self.rng.random::<f64>() < probability);
        if self.seen < when.nth || !drawn {
            return None;
        }
        self.played += 1;
        Some(self.fault.kind)
    }
}
