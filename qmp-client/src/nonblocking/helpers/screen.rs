//! What is on the screen, and what is typed.

#[cfg(target_os = "linux")]
use qmp_types::qmp::commands::Screendump;

use super::super::Client;
use crate::error::Result;
#[cfg(target_os = "linux")]
use crate::workflow::Picture;
use crate::workflow::strokes;

impl Client {
    /// What the guest's first screen shows, as the bytes of a PPM image. No file is written: QEMU
    /// gets a piece of memory to write to. The connection must be a Unix socket.
    ///
    /// # Errors
    /// QEMU has no screen, or is not given the memory.
    ///
    /// # Cancel safety
    ///
    /// What QEMU was given is taken back, by a command that nobody waits for.
    #[cfg(target_os = "linux")]
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        let (picture, writer) = Picture::new()?;
        let fdset = self.add_descriptor(writer).await?;
        self.execute(Screendump::new(fdset.path())).await?;
        fdset.remove().await?;
        picture.read()
    }

    /// Types a text, on a keyboard as it is in the United States: letters, digits, punctuation,
    /// space, tab and newline of ASCII.
    ///
    /// # Errors
    /// A character that this keyboard does not have: then nothing is typed. And those of
    /// [`execute`](Self::execute).
    ///
    /// # Cancel safety
    ///
    /// What was typed by then is typed; QEMU releases every key by itself.
    pub async fn type_text(&self, text: &str) -> Result<()> {
        for stroke in strokes(text)? {
            self.execute(stroke).await?;
        }
        Ok(())
    }
}
