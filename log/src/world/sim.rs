//! A simulated world: every task of every host runs in one thread under virtual
//! time, one poll at a time, and which of those that can go on does so is chosen
//! by a seed. The same seed gives the same run.
//!
//! A [`Host`] is a machine: its tasks end together with [`Host::kill`], stand
//! still while it is paused, and see its own clock.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rand::distr::{Distribution, StandardUniform};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Ended, Mutation, Running, Task};
use crate::id::Timestamp;

#[cfg(test)]
mod tests;

/// The time of day at which every simulation begins.
const EPOCH: i64 = 1_800_000_000_000;
/// Polls before tokio's own tasks and timers get their turn.
const POLLS: usize = 64;

/// Polls without time going on after which a run is given up: somebody asks again
/// and again without a rest.
const RESTLESS: u64 = 300_000;

type Caller = &'static Location<'static>;
type Pinned = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Resolves at some time.
pub type Alarm = Pin<Box<tokio::time::Sleep>>;

thread_local! {
    static HERE: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// The host whose task runs on this thread now; `None` outside of a simulation.
pub fn here() -> Option<Host> {
    HERE.with_borrow(Option::clone)
}

/// A machine. Clones are the same one.
#[derive(Clone)]
pub struct Host(Arc<HostState>);

struct HostState {
    name: String,
    number: u64,
    world: Arc<World>,
    alive: AtomicBool,
    paused: AtomicBool,
    /// Milliseconds that its clock is ahead.
    ahead: AtomicI64,
    /// Milliseconds that a sync takes.
    sync: Mutex<Range<u64>>,
}

struct World {
    rng: Mutex<SmallRng>,
    began: Instant,
    run: Mutex<Run>,
    ready: Arc<Ready>,
    broken: Mutex<Option<Mutation>>,
    /// Hosts that stand still.
    paused: AtomicUsize,
}

#[derive(Default)]
struct Run {
    tasks: BTreeMap<u64, Entry>,
    /// Polls since time went on last.
    still: (Duration, u64),
    /// Who was polled of late, when time stands still.
    restless: BTreeMap<Caller, u64>,
    spawned: u64,
    hosts: u64,
    trace: u64,
    polls: u64,
}

struct Entry {
    host: Host,
    caller: Caller,
    /// Away while it is polled.
    future: Option<Pinned>,
}

/// Tasks that can go on.
#[derive(Default)]
struct Ready {
    tasks: Mutex<Tasks>,
    driver: Mutex<Option<Waker>>,
}

/// Invariant: those that can go on are among those that there are.
#[derive(Default)]
struct Tasks {
    there: BTreeSet<u64>,
    ready: BTreeSet<u64>,
}

struct Wakes {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.ready.wake(self.task);
    }
}

impl Ready {
    fn begin(&self, task: u64) {
        self.tasks.lock().there.insert(task);
        self.wake(task);
    }

    fn end(&self, task: u64) {
        let mut tasks = self.tasks.lock();
        tasks.there.remove(&task);
        tasks.ready.remove(&task);
    }

    /// Wakers outlive their tasks.
    fn wake(&self, task: u64) {
        let mut tasks = self.tasks.lock();
        if tasks.there.contains(&task) {
            tasks.ready.insert(task);
        }
        drop(tasks);
        if let Some(driver) = &*self.driver.lock() {
            driver.wake_by_ref();
        }
    }
}

/// Runs a simulation to the end of `main`, which runs on a host of its own and
/// makes others by [`Host::beside`]. Tasks that are left over are dropped.
pub fn run<T, F>(seed: u64, main: impl FnOnce(Host) -> F) -> std::io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let world = Arc::new(World {
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            began: Instant::now(),
            run: Mutex::default(),
            ready: Arc::default(),
            broken: Mutex::default(),
            paused: AtomicUsize::new(0),
        });
        let host = World::host(&world, "main");
        let main = host.enter(|| main(host.clone()));
        let Task(Running::Simulated(mut job)) = host.spawn(main) else {
            return Err(std::io::Error::other("a simulation in a simulation"));
        };
        let result = poll_fn(|context| world.drive(context, &mut job)).await;
        world.end();
        let result = result.map_err(|ended| world.restless().unwrap_or_else(|| ended.to_string()));
        result.map_err(std::io::Error::other)
    })
}

impl World {
    fn host(world: &Arc<Self>, name: &str) -> Host {
        let mut run = world.run.lock();
        run.hosts += 1;
        Host(Arc::new(HostState {
            name: name.to_owned(),
            number: run.hosts,
            world: world.clone(),
            alive: AtomicBool::new(true),
            paused: AtomicBool::new(false),
            ahead: AtomicI64::new(0),
            sync: Mutex::new(0..4),
        }))
    }

    fn drive<T>(&self, context: &mut Context<'_>, main: &mut Job<T>) -> Poll<Result<T, Ended>> {
        *self.ready.driver.lock() = Some(context.waker().clone());
        for _ in 0..POLLS {
            if let Poll::Ready(result) = main.poll(context) {
                return Poll::Ready(result);
            }
            if self.run.lock().still.1 > RESTLESS {
                return Poll::Ready(Err(Ended::Aborted));
            }
            let Some(task) = self.choose() else { return Poll::Pending };
            self.poll(task);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// One of the tasks that can go on, by the seed.
    fn choose(&self) -> Option<u64> {
        let ready = &mut self.ready.tasks.lock().ready;
        let mut run = self.run.lock();
        // To ask each of them is what costs most, and mostly for nothing.
        let all = self.paused.load(Ordering::Relaxed) == 0;
        let may =
            |task: &&u64| all || run.tasks.get(*task).is_some_and(|entry| !entry.host.is_paused());
        let count = ready.iter().filter(may).count();
        if count == 0 {
            return None;
        }
        let place = self.rng.lock().random_range(0..count);
        let task = ready.iter().filter(may).nth(place).copied()?;
        ready.remove(&task);
        let now = self.began.elapsed();
        run.count(task, now);
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        run.trace = mix(run.trace, task ^ now.rotate_left(32));
        Some(task)
    }

    fn poll(&self, task: u64) {
        let taken = self.run.lock().tasks.get_mut(&task).map(|e| (e.host.clone(), e.future.take()));
        let Some((host, Some(mut future))) = taken else { return };
        let waker = Waker::from(Arc::new(Wakes { task, ready: self.ready.clone() }));
        let polled = host.enter(|| future.as_mut().poll(&mut Context::from_waker(&waker)));
        let mut run = self.run.lock();
        let left = match (polled, run.tasks.get_mut(&task)) {
            (Poll::Pending, Some(entry)) => entry.future.replace(future),
            // It has ended, or was ended while it ran.
            _ => {
                run.tasks.remove(&task);
                self.ready.end(task);
                Some(future)
            }
        };
        drop(run);
        host.enter(|| drop(left));
    }

    fn take(&self, which: impl Fn(u64, &Host) -> bool) {
        let mut run = self.run.lock();
        let wanted = run.tasks.iter().filter(|(id, entry)| which(**id, &entry.host));
        let wanted: Vec<u64> = wanted.map(|(id, _)| *id).collect();
        let taken: Vec<_> = wanted.iter().filter_map(|id| run.tasks.remove(id)).collect();
        drop(run);
        wanted.iter().for_each(|id| self.ready.end(*id));
        taken.into_iter().for_each(|entry| entry.host.enter(|| drop(entry.future)));
    }

    /// Who is polled over and over while time stands still.
    fn restless(&self) -> Option<String> {
        let run = self.run.lock();
        let mut all: Vec<_> =
            run.restless.iter().map(|(caller, polls)| (*polls, *caller)).collect();
        all.sort_by_key(|(polls, _)| std::cmp::Reverse(*polls));
        let most: Vec<String> =
            all.iter().take(8).map(|(polls, caller)| format!("{polls} of {caller}")).collect();
        let stuck = run.still.1 > RESTLESS;
        stuck.then(|| format!("time stands still at {:?}: {}", run.still.0, most.join(", ")))
    }

    /// Drops what is left, until nothing spawns anything any more.
    fn end(&self) {
        while !self.run.lock().tasks.is_empty() {
            self.take(|_, _| true);
        }
    }
}

impl Run {
    fn count(&mut self, task: u64, now: Duration) {
        self.polls += 1;
        if self.still.0 != now {
            self.still = (now, 0);
            self.restless.clear();
        }
        self.still.1 += 1;
        let caller = self.tasks.get(&task).map(|entry| entry.caller);
        if let Some(caller) = caller.filter(|_| self.still.1 > RESTLESS / 2) {
            *self.restless.entry(caller).or_default() += 1;
        }
    }
}

fn mix(hash: u64, value: u64) -> u64 {
    let z = hash.rotate_left(5) ^ value;
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Where a thread was before it entered a host; also after a panic.
struct Back(Option<Host>);

impl Drop for Back {
    fn drop(&mut self) {
        HERE.set(self.0.take());
    }
}

impl Host {
    /// Another host in the same world.
    pub fn beside(&self, name: &str) -> Self {
        World::host(&self.0.world, name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Does something as one of its tasks would.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _back = Back(HERE.replace(Some(self.clone())));
        work()
    }

    /// Runs a task here; on a host that was killed it never runs.
    #[track_caller]
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Task<T> {
        let world = &self.0.world;
        let (tell, result) = oneshot::channel();
        let work = async move { drop(tell.send(task.await)) };
        let future: Pinned = Box::pin(tokio::task::unconstrained(work));
        let mut run = world.run.lock();
        run.spawned += 1;
        let number = run.spawned;
        let id = JobId { number, world: world.clone() };
        if self.is_alive() {
            let (host, caller) = (self.clone(), Location::caller());
            run.tasks.insert(number, Entry { host, caller, future: Some(future) });
            drop(run);
            world.ready.begin(number);
        } else {
            drop(run);
            self.enter(|| drop(future));
        }
        Task(Running::Simulated(Job { id, result }))
    }

    /// The power goes off: its tasks are dropped where they are. What its disk
    /// keeps is the disk's matter.
    pub fn kill(&self) {
        self.0.alive.store(false, Ordering::Relaxed);
        let own = self.0.number;
        self.0.world.take(|_, host| host.0.number == own);
    }

    /// Whether it was not killed.
    pub fn is_alive(&self) -> bool {
        self.0.alive.load(Ordering::Relaxed)
    }

    /// It stands still, as by SIGSTOP, or goes on.
    pub fn pause(&self, paused: bool) {
        match (self.0.paused.swap(paused, Ordering::Relaxed), paused) {
            (false, true) => _ = self.0.world.paused.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.0.world.paused.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        if let (false, Some(driver)) = (paused, &*self.0.world.ready.driver.lock()) {
            driver.wake_by_ref();
        }
    }

    /// Whether it stands still.
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }

    /// Sets its clock so far ahead of the true time.
    pub fn set_clock_ahead(&self, milliseconds: i64) {
        self.0.ahead.store(milliseconds, Ordering::Relaxed);
    }

    /// How long, in milliseconds, its disk takes for a sync.
    pub fn set_sync_time(&self, milliseconds: Range<u64>) {
        *self.0.sync.lock() = milliseconds;
    }

    /// Breaks a rule, on every host.
    pub fn break_rule(&self, rule: Mutation) {
        *self.0.world.broken.lock() = Some(rule);
    }

    pub(super) fn breaks(&self, rule: Mutation) -> bool {
        *self.0.world.broken.lock() == Some(rule)
    }

    /// Lets simulated time pass.
    pub async fn rest(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Resolves at a time since the simulation began.
    pub fn alarm(&self, at: Duration) -> Alarm {
        Box::pin(tokio::time::sleep_until(self.0.world.began + at))
    }

    /// Simulated time from now, as deadlines are given.
    pub fn later(&self, time: Duration) -> std::time::Instant {
        (Instant::now() + time).into_std()
    }

    /// Time since the simulation began.
    pub fn elapsed(&self) -> Duration {
        self.0.world.began.elapsed()
    }

    /// A number that two runs share only if they did the same, in the same order
    /// and at the same times.
    pub fn trace(&self) -> u64 {
        self.0.world.run.lock().trace
    }

    /// How often a task was polled.
    pub fn polls(&self) -> u64 {
        self.0.world.run.lock().polls
    }

    /// Mixes a fact into [`Host::trace`].
    pub fn note(&self, fact: u64) {
        let mut run = self.0.world.run.lock();
        run.trace = mix(run.trace, fact);
    }

    /// Something random, from the seed.
    pub fn random<T>(&self) -> T
    where
        StandardUniform: Distribution<T>,
    {
        self.0.world.rng.lock().random()
    }

    /// A number of a range, from the seed; its start for an empty one.
    pub fn pick(&self, range: Range<u64>) -> u64 {
        if range.is_empty() {
            return range.start;
        }
        self.0.world.rng.lock().random_range(range)
    }

    /// What its clock shows.
    pub fn time_of_day(&self) -> Timestamp {
        let since = i64::try_from(self.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp(EPOCH + since + self.0.ahead.load(Ordering::Relaxed))
    }

    /// Work for another thread: mostly it is done at once, sometimes later.
    pub(super) async fn hesitate(&self) {
        if self.pick(0..4) == 0 {
            tokio::time::sleep(Duration::from_millis(self.pick(1..4))).await;
        }
    }

    pub(super) async fn before_sync(&self) {
        let range = self.0.sync.lock().clone();
        tokio::time::sleep(Duration::from_millis(self.pick(range))).await;
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

/// A task of a simulation.
pub struct Job<T> {
    id: JobId,
    result: oneshot::Receiver<T>,
}

/// Which task of a simulation.
#[derive(Clone)]
pub struct JobId {
    number: u64,
    world: Arc<World>,
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.number)
    }
}

impl JobId {
    pub(super) fn abort(&self) {
        self.world.take(|number, _| number == self.number);
    }
}

impl<T> Job<T> {
    pub(super) fn id(&self) -> JobId {
        self.id.clone()
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<T, Ended>> {
        Pin::new(&mut self.result).poll(context).map_err(|_| Ended::Aborted)
    }
}
