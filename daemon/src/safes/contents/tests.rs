//! Contents through real files, pipes and sockets.
