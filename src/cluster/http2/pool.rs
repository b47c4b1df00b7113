//! The connections that watches share. Each takes so many and no more; another is opened when all are full, one at a
//! time; one that nobody uses is closed.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use http::{Request, Response};
use hyper::body::Incoming;
use kube::client::Body;
use tokio::{
    sync::{Mutex as Turn, OwnedMutexGuard, oneshot, watch},
    time::{Instant, timeout},
};

use super::{
    Limits, WatchError,
    body::Held,
    wire::{Connection, Sender, Wire},
};

/// New connections tried for one request when each ends before it is sent.
const TRIES: usize = 3;

/// What the server chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

pub(super) struct Pool {
    wire: Wire,
    limits: Limits,
    state: Mutex<State>,
    /// Held by whoever opens a connection, until it is known to work.
    opening: Arc<Turn<()>>,
}

#[derive(Default)]
struct State {
    lanes: Vec<Lane>,
    /// What the server chose, and when.
    chosen: Option<(Protocol, Instant)>,
    /// A connection that was opened to learn that.
    ready: Option<(Sender, Connection)>,
    opened: u64,
}

/// A connection that is shared.
struct Lane {
    number: u64,
    sender: Sender,
    used: Arc<watch::Sender<usize>>,
    /// How many it takes.
    room: usize,
}

/// A place on a connection.
struct Place {
    number: u64,
    sender: Sender,
    using: Using,
    /// To be sent once the first answer has come in.
    answered: Option<oneshot::Sender<()>>,
}

/// Counts for as long as it lives.
pub(super) struct Using(Arc<watch::Sender<usize>>);

impl Using {
    fn new(used: &Arc<watch::Sender<usize>>) -> Self {
        used.send_modify(|used| *used += 1);
        Self(used.clone())
    }
}

impl Drop for Using {
    fn drop(&mut self) {
        self.0.send_modify(|used| *used -= 1);
    }
}

impl Pool {
    pub(super) fn new(wire: Wire, limits: Limits) -> Self {
        Self { wire, limits, state: Mutex::default(), opening: Arc::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server speaks; asks it if that is not known.
    pub(super) async fn protocol(&self) -> Result<Protocol, WatchError> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let _turn = self.opening.lock().await;
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let ready = self.connect().await?;
        let chosen = if ready.is_some() { Protocol::Http2 } else { Protocol::Http1 };
        self.lock().ready = ready;
        Ok(chosen)
    }

    fn known(&self) -> Option<Protocol> {
        let stale = |at: Instant| at.elapsed() > self.limits.ask_again;
        let (protocol, at) = self.lock().chosen?;
        (protocol == Protocol::Http2 || !stale(at)).then_some(protocol)
    }

    async fn connect(&self) -> Result<Option<(Sender, Connection)>, WatchError> {
        let connected = self.wire.connect().await?;
        let chosen = if connected.is_some() { Protocol::Http2 } else { Protocol::Http1 };
        self.lock().chosen = Some((chosen, Instant::now()));
        Ok(connected)
    }

    /// Sends a request on a connection with room. The answer's body keeps the place until it is dropped.
    pub(super) async fn send(
        self: Arc<Self>,
        mut request: Request<Body>,
    ) -> Result<Response<Held<Incoming, Using>>, WatchError> {
        for _ in 0..TRIES {
            let mut place = self.place().await?;
            let answer = timeout(self.limits.answer, place.sender.try_send_request(request)).await;
            match answer.map_err(|_| WatchError::Silent(self.limits.answer))? {
                Ok(response) => {
                    if let Some(answered) = place.answered {
                        let _ = answered.send(());
                    }
                    return Ok(response.map(|body| Held::new(body, place.using)));
                }
                Err(mut unsent) => match unsent.take_message() {
                    // The connection was closed before the request was sent.
                    Some(again) => {
                        self.forget(place.number);
                        request = again;
                    }
                    None => return Err(WatchError::Http(unsent.into_error())),
                },
            }
        }
        Err(WatchError::Closed)
    }

    async fn place(self: &Arc<Self>) -> Result<Place, WatchError> {
        if let Some(place) = self.vacancy() {
            return Ok(place);
        }
        let turn = self.opening.clone().lock_owned().await;
        if let Some(place) = self.vacancy() {
            return Ok(place);
        }
        let ready = self.lock().ready.take().filter(|(sender, _)| !sender.is_closed());
        let connected = match ready {
            Some(ready) => Some(ready),
            None => self.connect().await?,
        };
        let (sender, connection) = connected.ok_or(WatchError::Changed)?;
        Ok(self.first_on(sender, connection, turn))
    }

    /// A place on the first connection with room, so that later ones run empty and are closed.
    fn vacancy(&self) -> Option<Place> {
        let mut state = self.lock();
        state.lanes.retain(|lane| !lane.sender.is_closed());
        let lane = state.lanes.iter().find(|lane| *lane.used.borrow() < lane.room)?;
        let (number, sender, using) = (lane.number, lane.sender.clone(), Using::new(&lane.used));
        Some(Place { number, sender, using, answered: None })
    }

    /// The first place on a new connection. Others have their turn after the first answer: only then is it known how
    /// many streams the server takes, and one too many would wait for ever without an error.
    fn first_on(self: &Arc<Self>, sender: Sender, connection: Connection, turn: OwnedMutexGuard<()>) -> Place {
        let used = Arc::new(watch::Sender::new(0));
        let number = {
            let mut state = self.lock();
            state.opened += 1;
            state.opened
        };
        let (answered, answer) = oneshot::channel();
        let lane = Lane { number, sender: sender.clone(), used: used.clone(), room: 0 };
        let using = Using::new(&used);
        tokio::spawn(drive(connection, lane, answer, turn, Arc::downgrade(self)));
        Place { number, sender, using, answered: Some(answered) }
    }

    fn add(&self, mut lane: Lane, allowed: usize) {
        lane.room = self.limits.streams.min(allowed).max(1);
        let mut state = self.lock();
        state.lanes.push(lane);
        tracing::debug!(connections = state.lanes.len(), "watches have another connection");
    }

    fn forget(&self, number: u64) {
        self.lock().lanes.retain(|lane| lane.number != number);
    }

    /// Closes a connection unless somebody has come.
    fn retire(&self, number: u64) {
        self.lock().lanes.retain(|lane| lane.number != number || *lane.used.borrow() > 0);
    }
}

/// Keeps a connection going until it ends.
async fn drive(
    connection: Connection,
    lane: Lane,
    answer: oneshot::Receiver<()>,
    turn: OwnedMutexGuard<()>,
    pool: Weak<Pool>,
) {
    let (number, mut used) = (lane.number, lane.used.subscribe());
    let mut connection = pin!(connection);
    let answered = tokio::select! {
        answered = answer => answered.is_ok(),
        _ = &mut connection => false,
    };
    let Some(linger) = pool.upgrade().map(|pool| {
        if answered {
            pool.add(lane, connection.current_max_send_streams());
        }
        pool.limits.linger
    }) else {
        return;
    };
    drop(turn);
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection of watches ended and they begin anew");
                }
                break;
            }
            () = unused(&mut used, linger) => {
                if let Some(pool) = pool.upgrade() {
                    pool.retire(number);
                }
            }
        }
    }
    if let Some(pool) = pool.upgrade() {
        pool.forget(number);
    }
}

/// Returns once nobody has used the connection for so long.
async fn unused(used: &mut watch::Receiver<usize>, linger: std::time::Duration) {
    // Whoever counts is gone: the connection ends by itself.
    let gone = used.wait_for(|used| *used == 0).await.is_err();
    if gone || matches!(timeout(linger, used.wait_for(|used| *used > 0)).await, Ok(Err(_))) {
        std::future::pending::<()>().await;
    }
}
