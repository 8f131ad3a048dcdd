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
    #[cfg(target_os = "linux")]
    pub fn screenshot(&mut self) -> Result<Vec<u8>> {
        let (picture, writer) = Picture::new()?;
        let mut fdset = self.add_descriptor(writer)?;
        let dump = Screendump::new(fdset.path());
        fdset.client().execute(dump)?;
        fdset.remove()?;
        picture.read()
    }

    /// Types a text, on a keyboard as it is in the United States: letters, digits, punctuation,
    /// space, tab and newline of ASCII.
    ///
    /// # Errors
    /// A character that this keyboard does not have: then nothing is typed. And those of
    /// [`execute`](Self::execute).
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        for stroke in strokes(text)? {
            self.execute(stroke)?;
        }
        Ok(())
    }
}
