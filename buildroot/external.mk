include $(sort $(wildcard $(BR2_EXTERNAL_PARKLAMP_PATH)/package/*/*.mk))

# A kernel whose configuration lost what a fragment asks for fails in ways that nobody expects: it is not built.
define PARKLAMP_KERNEL_CONFIG_STUCK
	$(BR2_EXTERNAL_PARKLAMP_PATH)/scripts/stuck.sh $(@D)/.config \
		$(call qstrip,$(BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES))
endef
LINUX_PRE_BUILD_HOOKS += PARKLAMP_KERNEL_CONFIG_STUCK
