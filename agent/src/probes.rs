//! (being written) [`consensus::outbox::Output::Probe`] → a task with a limit → [`consensus::outbox::Input::Observation`].
