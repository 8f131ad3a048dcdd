//! Asks for a machine's status once, like `floor.rs`, but on tokio: `bench/compile` measures how large it is.
//!
//! As in a client that receives events at any time, a task of its own sends and receives. Several tasks can
//! have commands in flight, and a call can be dropped: its command is sent as a whole, and its reply is
//! ignored. The time to connect and to negotiate is limited, too. What the client does besides is left out:
//! events are not delivered, the sums of unsent commands and of waiting calls are not limited, it gives up at
//! the first line that is not a whole message, it needs a server that returns ids, and all of its errors are
//! texts. Values are `serde_json::Value`: with types whose code serde derives, the program is larger.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// The largest message, in bytes.
const LARGEST: usize = 64 << 20;
const WITHIN: Duration = Duration::from_secs(60);
/// The id of the call that waits for the greeting.
const GREETING: u64 = 0;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Clone)]
struct Client {
    shared: Arc<Shared>,
}

impl Client {
    async fn connect(address: &str) -> Result<Self> {
        timeout(WITHIN, Self::negotiate(address)).await?
    }

    async fn negotiate(address: &str) -> Result<Self> {
        let socket: OwnedFd = match address.rsplit_once(':') {
            Some((host, port)) if !address.contains('/') => {
                TcpStream::connect((host, port.parse()?)).await?.into_std()?.into()
            }
            _ => UnixStream::connect(address.strip_prefix("unix:").unwrap_or(address))
                .await?
                .into_std()?
                .into(),
        };
        // An earlier client's replies may still arrive: they have other ids.
        let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let state = State { next_id: u64::from(unix.subsec_nanos()) << 20, ..State::default() };
        let shared = Arc::new(Shared(Mutex::new(state)));
        let greeting = shared.call(GREETING, "");
        tokio::spawn(Connection {
            // One type for both: to the system, a stream is a stream.
            stream: UnixStream::from_std(socket.into())?,
            shared: Arc::downgrade(&shared),
            buffer: Vec::new(),
        });
        let greeting = greeting.await?;
        if greeting.get("QMP").is_none() {
            return Err(format!("not a QMP server: {greeting}").into());
        }
        let client = Self { shared: Arc::clone(&shared) };
        client.execute("qmp_capabilities").await?;
        Ok(client)
    }

    /// Executes a command, and returns what it returns.
    async fn execute(&self, command: &str) -> Result<Value> {
        let id = {
            let mut state = self.shared.lock();
            state.next_id += 1;
            state.next_id
        };
        let text = format!("{{\"execute\":\"{command}\",\"id\":{id}}}\n");
        let call = self.shared.call(id, &text);
        let mut reply = timeout(WITHIN, call).await??;
        if let Some(error) = reply.get("error") {
            let member = |name| error.get(name).and_then(Value::as_str).unwrap_or("unknown");
            let (class, reason) = (member("class"), member("desc"));
            return Err(format!("`{command}` failed: {reason} ({class})").into());
        }
        let value = reply.get_mut("return").ok_or("a reply without a value")?;
        Ok(value.take())
    }
}

/// The state that clients and the task of their connection share.
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// The text of commands that have not been sent.
    output: Vec<u8>,
    calls: Vec<Waiting>,
    next_id: u64,
    /// The waker of the connection's task.
    task: Option<Waker>,
    /// Why the connection has ended.
    ended: Option<String>,
}

/// A call whose reply has not been taken.
struct Waiting {
    id: u64,
    reply: Option<Value>,
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues the text of a command, and returns the reply with this id when it has arrived.
    fn call(&self, id: u64, text: &str) -> Call<'_> {
        let mut state = self.lock();
        state.calls.push(Waiting { id, reply: None, waker: None });
        state.output.extend_from_slice(text.as_bytes());
        state.wake();
        Call { shared: self, id }
    }
}

impl State {
    /// Wakes the connection's task.
    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    /// Passes a message to its call. Late replies do not have the id of one, and events have none, like the
    /// greeting, which comes first.
    fn pass(&mut self, message: Value) {
        let id = message.get("id").map_or(Some(GREETING), Value::as_u64);
        let mut waiting = self.calls.iter_mut().filter(|call| call.reply.is_none());
        if let Some(call) = waiting.find(|call| Some(call.id) == id) {
            call.reply = Some(message);
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }

    fn end(&mut self, error: String) {
        self.ended = Some(error);
        for call in &mut self.calls {
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Drop for Shared {
    /// Lets the connection's task see that its last client has been dropped.
    fn drop(&mut self) {
        self.lock().wake();
    }
}

/// Waits for the reply of a call.
struct Call<'a> {
    shared: &'a Shared,
    id: u64,
}

impl Future for Call<'_> {
    type Output = Result<Value>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let State { calls, ended, .. } = &mut *self.shared.lock();
        let call = calls.iter_mut().find(|call| call.id == self.id);
        let call = call.ok_or("polled after its end")?;
        if let Some(reply) = call.reply.take() {
            return Poll::Ready(Ok(reply));
        }
        if let Some(error) = ended {
            return Poll::Ready(Err(error.as_str().into()));
        }
        call.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.shared.lock().calls.retain(|call| call.id != self.id);
    }
}

/// The task of a connection, which sends what clients have queued, and passes on what arrives.
struct Connection {
    stream: UnixStream,
    shared: Weak<Shared>,
    /// The beginning of a message.
    buffer: Vec<u8>,
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = self.shared.upgrade() else { return Poll::Ready(()) };
        match self.advance(&shared, context) {
            Ok(()) => Poll::Pending,
            Err(error) => {
                shared.lock().end(error.to_string());
                Poll::Ready(())
            }
        }
    }
}

impl Connection {
    /// Sends and receives until it must wait for the socket or for a client.
    fn advance(&mut self, shared: &Shared, context: &mut Context<'_>) -> Result<()> {
        let mut state = shared.lock();
        state.task = Some(context.waker().clone());
        while !state.output.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let Poll::Ready(sent) = stream.poll_write(context, &state.output)? else { break };
            state.output.drain(..sent);
        }
        drop(state);
        loop {
            let mut chunk = [0; 4096];
            let mut chunk = ReadBuf::new(&mut chunk);
            let stream = Pin::new(&mut self.stream);
            if stream.poll_read(context, &mut chunk)?.is_pending() {
                return Ok(());
            }
            if chunk.filled().is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            for part in chunk.filled().split_inclusive(|byte| *byte == b'\n') {
                self.buffer.extend_from_slice(part);
                if self.buffer.len() > LARGEST {
                    return Err("the message is too large".into());
                }
                if part.ends_with(b"\n") {
                    let message = serde_json::from_str(std::str::from_utf8(&self.buffer)?)?;
                    self.buffer.clear();
                    shared.lock().pass(message);
                }
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let vm = Client::connect(&std::env::args().nth(1).unwrap_or_default()).await?;
    let status = vm.execute("query-status").await?;
    println!("{}", status["status"]);
    Ok(())
}
