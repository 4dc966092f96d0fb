//! (being written) [`consensus::outbox::Output::Act`] → a task with a limit → [`consensus::outbox::Input::Report`].
