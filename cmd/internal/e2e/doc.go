// Package e2e holds the end-to-end tests: sites of the real firmware as processes on loopback, with SIPp, baresip, linphone,
// Kamailio and Chromium as the other side. It has no code but its tests, and starts nothing by itself.
package e2e
