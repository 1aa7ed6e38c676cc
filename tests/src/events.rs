//! A program that follows a daemon's events and keeps the state they give, checking what the API
//! promises on the way.

use std::path::Path;

use parsec_protocol::control::{Event, EventItem, EventPosition, EventsWatch, Overview, StreamId, method};
use serde_json::Value;

use crate::rpc::{Client, Failed};

/// One who follows.
#[derive(Debug)]
pub struct Follower {
    client: Client,
    /// Where it stands.
    pub last: Option<EventPosition>,
    /// What it believes; nothing between a gap and its snapshot.
    pub state: Option<Overview>,
    /// How often it was too slow.
    pub gaps: u32,
    /// Every item it got, as it came.
    pub lines: Vec<String>,
}

impl Follower {
    /// Begins with a snapshot, or goes on after an item.
    ///
    /// # Panics
    /// If the daemon doesn't take the subscription.
    #[must_use]
    pub fn start(socket: &Path, from: Option<(EventPosition, Overview)>) -> Self {
        Self::try_start(socket, from).unwrap()
    }

    /// The same, of a daemon that may be killed at any moment.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn try_start(socket: &Path, from: Option<(EventPosition, Overview)>) -> Result<Self, Failed> {
        let mut client = Client::connect(socket)?;
        let (last, state) = from.unzip();
        let _: Value = client.call(method::EVENTS_WATCH, EventsWatch { after: last.clone() })?;
        Ok(Self { client, last, state, gaps: 0, lines: Vec::new() })
    }

    /// The next item.
    ///
    /// # Errors
    /// [`Failed::Gone`] when the daemon has closed the connection.
    ///
    /// # Panics
    /// If the item is not what may come here.
    pub fn item(&mut self) -> Result<EventItem, Failed> {
        let line = self.client.line()?;
        assert_eq!(line["method"], method::EVENTS_ITEM, "{line}");
        self.lines.push(line["params"]["result"].to_string());
        let item: EventItem = serde_json::from_value(line["params"]["result"].clone()).unwrap();
        self.take(&item);
        Ok(item)
    }

    /// Reads on until a safe has changed for this reason; all the reasons on the way, it included.
    ///
    /// # Panics
    /// If the daemon goes away, or nothing comes for a long time.
    pub fn until_reason(&mut self, wanted: &str) -> Vec<String> {
        let mut reasons = Vec::new();
        while reasons.last().is_none_or(|last| last != wanted) {
            if let EventItem::Event { event: Event::SafeChanged { reason, .. }, .. } = self.item().unwrap() {
                reasons.push(reason);
            }
        }
        reasons
    }

    fn take(&mut self, item: &EventItem) {
        let before = self.last.as_ref().map(|last| last.id);
        let at = |stream: &StreamId, id| Some(EventPosition { stream: stream.clone(), id });
        match item {
            EventItem::Snapshot { stream, id, status, .. } => {
                self.last = at(stream, *id);
                self.state = Some((**status).clone());
            }
            EventItem::Gap { stream, from, to } => {
                let same = self.last.as_ref().is_some_and(|last| last.stream == *stream);
                assert_eq!(*from, before.filter(|_| same).map(|id| id + 1), "{item:?}");
                self.gaps += 1;
                self.state = None;
                self.last = at(stream, *to);
            }
            EventItem::Event { stream, id, event, .. } => {
                let last = self.last.take().unwrap();
                assert_eq!((stream, *id), (&last.stream, last.id + 1), "{item:?}");
                self.state.as_mut().unwrap().apply(event);
                self.last = at(stream, *id);
            }
            EventItem::Unknown => panic!("an item of no kind"),
        }
    }

    /// Reads until an item that is looked for.
    ///
    /// # Panics
    /// If the daemon goes away before.
    pub fn until(&mut self, mut wanted: impl FnMut(&EventItem) -> bool) -> EventItem {
        loop {
            let item = self.item().unwrap();
            if wanted(&item) {
                return item;
            }
        }
    }

    /// Reads to the end of the connection; the last item, if there was one.
    #[must_use]
    pub fn to_the_end(&mut self) -> Option<EventItem> {
        let mut last = None;
        while let Ok(item) = self.item() {
            last = Some(item);
        }
        last
    }

    /// What to go on from.
    ///
    /// # Panics
    /// Before the first snapshot.
    #[must_use]
    pub fn place(&self) -> (EventPosition, Overview) {
        (self.last.clone().unwrap(), self.state.clone().unwrap())
    }
}
