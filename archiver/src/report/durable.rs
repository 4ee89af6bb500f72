//! Since when messages cannot be made durable, for the Archiver's status. It agrees with `/readyz?critical`.

use jiff::Timestamp;

/// Since when they cannot, as far as this process knows.
#[derive(Debug, Default)]
pub(super) struct Lapse {
    since: Option<Timestamp>,
}

impl Lapse {
    /// Since when, if not `durable` at `now`. The process before may have `published` an earlier time.
    pub(super) fn look(&mut self, durable: bool, published: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        self.since = (!durable).then(|| self.since.or(published.filter(|at| *at <= now)).unwrap_or(now));
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_lapse_lasts_from_its_beginning_to_its_end_also_across_a_restart() {
        let mut lapse = Lapse::default();
        assert_eq!(lapse.look(true, None, at(1)), None);
        assert_eq!(lapse.look(false, None, at(2)), Some(at(2)));
        assert_eq!(lapse.look(false, Some(at(2)), at(3)), Some(at(2)));
        assert_eq!(Lapse::default().look(false, Some(at(2)), at(4)), Some(at(2)), "the next process");
        assert_eq!(lapse.look(true, Some(at(2)), at(5)), None);
        assert_eq!(lapse.look(false, None, at(6)), Some(at(6)));
    }
}
