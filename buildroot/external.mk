include $(sort $(wildcard $(BR2_EXTERNAL_PARKLAMP_PATH)/package/*/*.mk))

# The root is an initrd without modules: what the kernel's own defconfig has as a module, and nothing of ours asks for, is left out.
# The fragments are read again: what they ask for may have depended on a module.
define PARKLAMP_KERNEL_WITHOUT_MODULES
	$(LINUX_KCONFIG_MAKE) mod2noconfig
	cat $(call qstrip,$(BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES)) >>$(@D)/.config
	$(call KCONFIG_DISABLE_OPT,CONFIG_MODULES,$(@D)/.config)
	$(LINUX_KCONFIG_MAKE) olddefconfig
endef
LINUX_POST_CONFIGURE_HOOKS += PARKLAMP_KERNEL_WITHOUT_MODULES

# A kernel whose configuration lost what a fragment asks for fails in ways that nobody expects: it is not built.
define PARKLAMP_KERNEL_CONFIG_STUCK
	$(BR2_EXTERNAL_PARKLAMP_PATH)/scripts/stuck.sh $(@D)/.config \
		$(call qstrip,$(BR2_LINUX_KERNEL_CUSTOM_CONFIG_FILE) $(BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES))
endef
LINUX_PRE_BUILD_HOOKS += PARKLAMP_KERNEL_CONFIG_STUCK
