//! IDLE (RFC 2177): holds no view and no large buffer while it waits.

use tokio::time::{Duration, Instant, timeout_at};

use crate::imap::reply::{Answer, End, Reply, Trouble};
use crate::imap::session::{Session, User};

/// Octets read at one time: DONE is six.
const READ: usize = 64;

enum Event {
    Changed,
    Login,
    Input,
}

/// Tells what happens until the client says DONE.
pub(crate) async fn run(session: &mut Session) -> Answer {
    session.user()?;
    session.continuation("idling").await?;
    let deadline = Instant::now() + session.conn.limits().idle_timeout;
    loop {
        if let Some(line) = session.framer.next_line(session.conn.input()) {
            return Ok(finish(&line.map_err(|error| End::Bye(error.to_string().into()))?));
        }
        let paused = tell(session).await?;
        session.conn.flush().await?;
        session.conn.shrink();
        match wait(session, deadline, paused).await? {
            Event::Changed => session.mark_dirty(),
            Event::Login => session.judge_login().await?,
            Event::Input => {}
        }
    }
}

fn finish(line: &[u8]) -> Reply {
    match line.eq_ignore_ascii_case(b"DONE") {
        true => Reply::ok("IDLE done"),
        false => Reply::bad("DONE was expected"),
    }
}

/// Answers whether the store could not be read and is to be asked again soon.
async fn tell(session: &mut Session) -> Result<bool, End> {
    match session.sync(true).await {
        Ok(()) => Ok(false),
        Err(Trouble::Reply(_)) => Ok(true),
        Err(Trouble::End(end)) => Err(end),
    }
}

async fn wait(session: &mut Session, deadline: Instant, paused: bool) -> Result<Event, End> {
    let shutdown = session.conn.shutdown_token();
    let mut alone = session.imap.store.cut_off();
    let Session { conn, user, .. } = session;
    let Some(User { watch, access, .. }) = user else { return Err(End::Logout) };
    let changed = async {
        match paused {
            true => tokio::time::sleep(Duration::from_secs(1)).await,
            false => watch.changed().await,
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Err(End::Bye("The server is shutting down".into())),
        () = alone.happens() => Err(End::cut_off()),
        () = access.changed() => Ok(Event::Login),
        read = timeout_at(deadline, conn.fill(READ)) => match read {
            Ok(read) => read.map(|_| Event::Input).map_err(End::Gone),
            // RFC 9051 section 5.4.
            Err(_) => Err(End::Bye("Autologout: idle for too long".into())),
        },
        () = changed => Ok(Event::Changed),
    }
}
