//! The part of a run that a seed decides once.

use crate::random::Random;

/// A fault that is planted in the world around the client, which the simulation must find.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Plant {
    /// The runtime loses wakes.
    LostWake,
    /// The timer never fires.
    DeafTimer,
    /// Replies have each other's ids.
    SwappedReplies,
    /// The socket loses bytes.
    LostByte,
    /// Events are lost.
    LostEvent,
    /// The stream does not say that something has arrived.
    StaleEvent,
    /// The driver, which wakes itself while a deadline has passed, is polled only when others have had
    /// a turn.
    LateWake,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::LostWake,
        Self::DeafTimer,
        Self::SwappedReplies,
        Self::LostByte,
        Self::LostEvent,
        Self::StaleEvent,
        Self::LateWake,
    ];
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// The peer closes it.
    HangUp,
    /// The client closes it.
    Close,
    /// The driver is dropped.
    DropDriver,
    /// Every handle is dropped.
    DropHandles,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether the peer answers everything, and time passes only when nothing else can happen.
    pub(crate) calm: bool,
    pub(crate) programs: usize,
    pub(crate) listeners: usize,
    /// The number of bytes that the socket takes from the client.
    pub(crate) window: usize,
    /// Whether callers may write to the socket.
    pub(crate) direct: bool,
    /// The number of events that a queue holds.
    pub(crate) event_capacity: usize,
    /// In how many of a thousand steps an event is emitted.
    pub(crate) emits: usize,
    /// In how many of a thousand steps a task is polled for no reason.
    pub(crate) spurious: usize,
    /// In how many of a thousand steps what a task waits for is dropped.
    pub(crate) cancels: usize,
    /// The number of bytes that a read gives at most. With few, a driver has to yield in between.
    pub(crate) longest_read: usize,
    /// In how many of a thousand cases a possible operation is put off.
    pub(crate) put_off: usize,
    /// In how many of a thousand cases the peer stalls before an answer.
    pub(crate) stalls: usize,
    /// In how many of a thousand steps time passes although there is something to do.
    pub(crate) hurry: usize,
    /// In how many of a thousand steps a task is dropped.
    pub(crate) drops: usize,
    pub(crate) ending: Ending,
    /// The step at which the connection ends even if programs are not through.
    pub(crate) ends_at: u64,
}

impl Settings {
    pub(crate) fn new(random: &mut Random) -> Self {
        let calm = random.chance(400);
        let mut pick = |numbers: [usize; 4]| numbers[random.below(4)];
        let mut settings = Self {
            calm,
            programs: pick([1, 2, 3, 6]),
            listeners: pick([0, 1, 1, 2]),
            window: pick([20, 100, 300, 100_000]),
            direct: pick([0, 1, 1, 1]) == 1,
            event_capacity: pick([2, 8, 1024, 1024]),
            emits: pick([0, 5, 30, 100]),
            spurious: pick([0, 5, 20, 50]),
            cancels: pick([0, 3, 10, 30]),
            longest_read: pick([8, 64, 1000, 1000]),
            put_off: pick([0, 0, 50, 200]),
            stalls: pick([0, 30, 100, 200]),
            hurry: pick([0, 2, 5, 20]),
            drops: pick([0, 0, 1, 5]),
            ending: [Ending::HangUp, Ending::Close, Ending::DropDriver, Ending::DropHandles]
                [random.below(4)],
            ends_at: u64::MAX,
        };
        if calm {
            (settings.stalls, settings.hurry) = (0, 0);
        } else if random.chance(300) {
            settings.ends_at = random.below(300) as u64;
        }
        settings
    }
}
