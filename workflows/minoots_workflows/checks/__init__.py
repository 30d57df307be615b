"""Whether an action could be sent now."""
