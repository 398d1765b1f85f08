################################################################################
#
# phoned
#
################################################################################

PHONED_VERSION = $(or $(PARKLAMP_VERSION),unversioned)
PHONED_SOURCE = $(notdir $(or $(PHONED_TARBALL),phoned-none.tar.gz))
PHONED_SITE = $(patsubst %/,%,$(dir $(or $(PHONED_TARBALL),/none/phoned-none.tar.gz)))
PHONED_SITE_METHOD = file
PHONED_LICENSE_FILES = licenses.txt
# The tarball is of this moment and this machine; its name carries its hash.
BR_NO_CHECK_HASH_FOR += $(PHONED_SOURCE)

PHONED_GOMOD = parklamp
PHONED_GO_ENV = CGO_ENABLED=0
PHONED_LDFLAGS = -s -w -X main.version=$(PHONED_VERSION)
PHONED_BUILD_TARGETS = cmd/phoned cmd/parkctl cmd/init

define PHONED_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/bin/phoned $(TARGET_DIR)/usr/bin/phoned
	$(INSTALL) -D -m 0755 $(@D)/bin/parkctl $(TARGET_DIR)/usr/bin/parkctl
	$(INSTALL) -D -m 0755 $(@D)/bin/init $(TARGET_DIR)/init
endef

$(eval $(golang-package))
